"""The on-disk format: blocks, records, the id index, state, digests, the manifest."""
