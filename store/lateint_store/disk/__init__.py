"""Files, locks, LMDB environments, and checks of LMDB's pages."""
