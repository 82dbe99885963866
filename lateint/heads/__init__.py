"""Heads: the parts that score candidates at query time. One module per name; the contract is `base.Head`."""
