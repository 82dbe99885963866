"""What a corpus will cost before it is encoded: bytes, hours, milliseconds, from a sample, with intervals."""
