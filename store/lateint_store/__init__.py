"""The store: compressed arrays of documents in sharded LMDB. No torch here."""
