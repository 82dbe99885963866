"""Pools: which token states of a text are kept. One module per name; the contract is `base.Pool`."""
