"""Studies: quality, bytes and milliseconds of many settings on the same data, resumable, in one folder."""
