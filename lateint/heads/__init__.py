"""Heads: what runs with the query. One module per name; the contract is `base.Head`."""
