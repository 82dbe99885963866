"""The results page: every finished checkpoint on every set, test sets only once, stored as JSON and rendered from it."""
