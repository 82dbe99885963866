"""Studies: quality, bytes and milliseconds of many settings on the same data, in one folder, resumable."""
