"""Finding and reading weights."""
