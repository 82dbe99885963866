import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)  # tiny models on shared cores: more threads only wait for each other
