import os
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)  # tiny models on shared cores: more threads only wait for each other


@pytest.fixture
def call(capsys):
    """Run a command line in this process; (exit code, stdout, stderr)."""
    from lateint.cli import run

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call
