"""Losses: the functions that training minimises. One module per name; the contract is `base.Loss`."""
