"""Compare stores and scores of two commits, to the last bit.

Writes the digests of the shipped checkpoints' files, and for every model below the content digest of a store of the standard
library's documentation and a digest of the scores of 20 queries, computed on one thread. Run it before a change that must not
alter behaviour, keep the file, and run it again afterwards with `--compare FILE`: exit code 1 if anything differs.

Only public names are used, so that the same script runs on older commits. Digests depend on the processor and on the versions
of torch and Python: compare files of one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lateint
from lateint_eval.datasets.stdlib.passages import build_passages

BASE = "all-MiniLM-L6-v2"
# Model name, method, and the number of passages to index: None for all, few where an entry is large.
MODELS: dict[str, tuple[str, str | None, int | None]] = {
    "latent": ("latent", None, None),
    "reranker": ("reranker", None, 100),
    "dipair": (BASE, "dipair", 400),
    "deformer": (BASE, "deformer", 200),
    "prettr": (BASE, "prettr", 200),
    "sdr": (BASE, "sdr", 200),
    "mice": (BASE, "mice", 400),
    "colbert": (BASE, "colbert", 400),
}
CANDIDATES = 100
QUERIES = (
    "how do I sort a list by a key",
    "read a csv file line by line",
    "which structure gives me the smallest element quickly",
    "parse command line arguments",
    "open a url and read the response",
    "convert a string to a date",
    "run a function in another thread",
    "compress bytes with gzip",
    "match text with a regular expression",
    "write json to a file",
    "copy a directory tree",
    "generate random numbers",
    "measure the time that code takes",
    "catch an exception and log it",
    "iterate over two lists together",
    "count how often each word occurs",
    "store objects in a sqlite database",
    "send an email message",
    "what is a generator expression",
    "make a temporary file",
)


def digest(data: bytes) -> str:
    """BLAKE2b-128 of bytes."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def checkpoint_digests() -> dict[str, str]:
    """Digests of the files of the checkpoints that ship with the package, by their path in it."""
    package = Path(lateint.__file__).parent
    files = sorted(file for file in (package / "checkpoints").rglob("*") if file.is_file() and file.suffix != ".md")
    return {file.relative_to(package).as_posix(): digest(file.read_bytes()) for file in files}


def facts(name: str, method: str | None, documents: list[lateint.Document]) -> dict[str, Any]:
    """Index documents with one model and rank them: content digest, digest of all scores, best hits of the first query."""
    model = lateint.load_model(name, method=method, threads=1)
    with tempfile.TemporaryDirectory() as folder, lateint.build_store(model, documents, Path(folder) / "store") as store:
        ranker = lateint.Ranker(model, store)
        ids = [document.id for document in documents[:CANDIDATES]]
        rankings = [ranker.rank(query, ids) for query in QUERIES]
        scores = [{hit.doc_id: hit.score for hit in ranking} for ranking in rankings]
        table = np.array([[found[doc_id] for doc_id in ids] for found in scores], dtype=np.float64)
        info = store.info()
        return {
            "documents": len(store),
            "content_digest": info["content_digest"],
            "fingerprint": info["fingerprint"],
            "head": info["head"],
            "scores": digest(table.tobytes()),
            "first": [[hit.doc_id, hit.score] for hit in rankings[0]][:3],
        }


def measure() -> dict[str, Any]:
    """All digests of this commit on this machine."""
    torch.set_num_threads(1)
    documents = [lateint.Document(passage.id, passage.text, passage.title) for passage in build_passages()]
    found: dict[str, Any] = {}
    for label, (name, method, count) in MODELS.items():
        start = time.perf_counter()
        found[label] = facts(name, method, documents[:count])
        print(f"{label:<10} {found[label]['content_digest'][:16]} {found[label]['scores']} {time.perf_counter() - start:.0f} s")
    versions = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    return {"versions": versions, "public_names": sorted(lateint.__all__), "checkpoints": checkpoint_digests(), "models": found}


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """One line for each value that differs between two results, with its path."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [line for key in keys for line in differences(before.get(key), after.get(key), f"{where}/{key}")]
    return [] if before == after else [f"{where}: {before} -> {after}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="write the digests to this JSON file")
    parser.add_argument("--compare", type=Path, help="compare with the digests in this file")
    options = parser.parse_args()
    result = json.loads(json.dumps(measure()))
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if options.compare is not None:
        lines = differences(json.loads(options.compare.read_text(encoding="utf-8")), result)
        print("\n".join(lines) or f"no difference to {options.compare}")
        sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main()
