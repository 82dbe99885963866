import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "lateint"))  # tiny models
os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)
