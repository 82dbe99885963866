import torch

torch.set_num_threads(1)  # as in tests/lateint: with more threads, scores of equal texts in a batch may differ in the last bits
