"""Training: sampled lists of candidates, losses one file each, one loop for every method."""
