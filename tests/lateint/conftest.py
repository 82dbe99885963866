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
    from lateint.cli.main import run

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def rich():
    """A model whose entries hold states and a vector, as those of the default checkpoint."""
    import making
    from retrieving import RICH

    return making.fresh_model(RICH)


@pytest.fixture(scope="session")
def rich_store(tmp_path_factory, rich):
    """A store of that model over the documents that tests share; nobody writes to it."""
    import making

    from lateint.indexing.build import build_store

    with build_store(rich, making.DOCUMENTS, tmp_path_factory.mktemp("rich") / "store", window=16) as built:
        yield built
