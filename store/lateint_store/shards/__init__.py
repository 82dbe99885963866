"""The LMDB files of one store, and snapshots of them as of one transaction."""
