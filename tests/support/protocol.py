"""The sets of the evaluation protocol over the toy collection."""

import gzip
from pathlib import Path

import pytest

from lateint_eval.datasets import folder as folders
from lateint_eval.formats import read_qrels
from lateint_eval.reporting.sets import EvaluationTask, tasks
from tests.support.paths import TOY


def toy_protocol(home: Path, queries: int) -> list[EvaluationTask]:
    """Return the sets of the protocol; each is the toy collection with its first queries, written to `home`."""
    one, samples = home / "one", home / "samples"
    for folder in (one / "qrels", one / "runs", samples):
        folder.mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl"):
        (one / name).write_bytes((TOY / name).read_bytes())
    chosen = list(read_qrels(TOY))[:queries]
    lines = [line for line in (TOY / "run.beir.trec").read_text().splitlines() if line.split()[0] in chosen]
    for name in ("bm25.dev.top100.trec.gz", "bm25.test.top100.trec.gz", "firststage.bm25.top100.trec.gz"):
        (one / "runs" / name).write_bytes(gzip.compress("\n".join(lines).encode()))
    judged = (TOY / "qrels" / "test.tsv").read_bytes()
    for name, data in (("dev.tsv", judged), ("test.tsv", judged), ("official.full.trec.gz", gzip.compress(judged))):
        (one / "qrels" / name).write_bytes(data)
    for name in ("squad", "medquad", "selqa", "msmarco-dl19", "msmarco-dl21", "cranfield", "vaswani"):
        (home / name).symlink_to(one)
        for split in ("dev", "test"):
            (samples / f"{name}.{split}.txt").write_text("\n".join(chosen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folders, "SAMPLES", samples)
        return tasks(home)
