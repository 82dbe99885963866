"""What stands on disk: blocks, records, the id index, state, digests, the manifest."""
