"""The results page: every finished checkpoint on every set, test sets once, stored as JSON and rendered from it."""
