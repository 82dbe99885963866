"""The codecs: one module a name."""
