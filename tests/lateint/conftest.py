import gzip
import shutil

import pytest
import torch

from tests.support.paths import TOY

torch.set_num_threads(1)  # with tiny models on shared cores, more threads are slower


@pytest.fixture
def call(capsys):
    """Run a command line in this process; returns (exit code, stdout, stderr)."""
    from lateint.cli.main import run

    def call(*arguments):
        code = run([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def rich():
    """A model that stores states and a vector, as the default checkpoint does."""
    from tests.support import engine
    from tests.support.retrieving import RICH

    return engine.fresh_model(RICH)


@pytest.fixture(scope="session")
def rich_store(tmp_path_factory, rich):
    """A store of that model with the shared documents; tests must not write to it."""
    from lateint.indexing.build import build_store
    from tests.support import engine

    with build_store(rich, engine.DOCUMENTS, tmp_path_factory.mktemp("rich") / "store", window=16) as built:
        yield built


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The toy collection as a training folder; its test split is used as the train split."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    (folder / "qrels").mkdir(parents=True)
    (folder / "runs").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl"):
        shutil.copy(TOY / name, folder / name)
    shutil.copy(TOY / "qrels" / "test.tsv", folder / "qrels" / "train.tsv")
    with gzip.open(folder / "runs" / "bm25.train.top15.trec.gz", "wt") as run:
        run.write((TOY / "run.beir.trec").read_text())
    return folder
