"""The toy collection as training data."""

import gzip
import shutil

import pytest
from commands import TOY


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """The toy collection as a training folder: its test split serves as train split here."""
    folder = tmp_path_factory.mktemp("data") / "toy"
    (folder / "qrels").mkdir(parents=True)
    (folder / "runs").mkdir()
    for name in ("corpus.jsonl", "queries.jsonl"):
        shutil.copy(TOY / name, folder / name)
    shutil.copy(TOY / "qrels" / "test.tsv", folder / "qrels" / "train.tsv")
    with gzip.open(folder / "runs" / "bm25.train.top15.trec.gz", "wt") as run:
        run.write((TOY / "run.beir.trec").read_text())
    return folder
