"""Check and encode entries, commit windows, rewrite shards."""
