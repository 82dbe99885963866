"""The codecs: one module per codec name."""
