"""Cost of a corpus before it is encoded: bytes, hours and milliseconds, estimated from a sample with intervals."""
