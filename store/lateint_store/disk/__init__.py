"""Files, locks, LMDB environments and what their pages hold."""
