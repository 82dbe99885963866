"""Training: plans, sampled examples, losses with one file each, and one loop for all methods."""
