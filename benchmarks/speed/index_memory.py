"""Does the memory of a build grow with the corpus? Peak of anonymous memory of `build_store` over two corpora.

The model is a random BERT of two layers; texts are made on the fly, so nothing but the build could hold them. Each build
runs in a process of its own. Required: ten times as many documents take at most 50 MB more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import _harness

SIZES = (10_000, 100_000)
LIMIT_MB = 50.0
WORDS_A_TEXT = 24


def peak_mb(documents: int, model: Path) -> float:
    """Peak of anonymous memory of a process that builds, in units of 10^6 bytes."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "benchmarks.speed.index_memory",
            "--build",
            str(documents),
            "--model",
            str(model),
            "--store",
            f"{folder}/store",
        ]
        child = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(child.stdout.split()[-1]) / 1e6


def tiny_checkpoint(folder: Path) -> Path:
    """A random BERT of two layers."""
    import torch
    from transformers import AutoModelForSequenceClassification, BertConfig

    from lateint.testing.tiny import SHAPE, WIDE, tokenizer

    torch.manual_seed(0)
    config = BertConfig(**SHAPE, **(WIDE | {"num_hidden_layers": 2}), max_position_embeddings=96)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    tokenizer("bert").save_pretrained(folder)
    return folder


def texts(documents: int) -> Iterator[str]:
    """Random short texts of known words, one at a time."""
    from lateint.testing.tiny import WORDS

    rng = np.random.default_rng(0)
    for _ in range(documents):
        yield " ".join(WORDS[place] for place in rng.integers(0, len(WORDS), rng.integers(4, WORDS_A_TEXT + 1)))


def build(documents: int, model: str, store: str) -> None:
    """In the child: build, then print the peak in bytes."""
    import lateint
    from tests.campaign.memory import Peak

    with Peak() as peak:
        method = {"method": "prettr", "offline_layers": 1, "query_max_length": 16, "doc_max_length": 48}
        loaded = lateint.load_model(model, **method)
        with lateint.build_store(loaded, texts(documents), store) as built:
            if len(built) != documents:
                raise RuntimeError(f"{len(built)} documents in the store, expected {documents}")
    print(peak.bytes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES)
    parser.add_argument("--build", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        build(options.build, options.model, options.store)
        return
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_checkpoint(Path(folder))
        for size in options.sizes:
            peaks[size] = peak_mb(size, model)
            print(f"{size:>8} documents: peak {peaks[size]:.1f} MB anonymous", flush=True)
    grown = peaks[options.sizes[1]] - peaks[options.sizes[0]]
    passed = grown <= LIMIT_MB
    print(f"grown by {grown:.1f} MB, limit {LIMIT_MB:.0f} MB: {'PASS' if passed else 'FAIL'}")
    result = {"peak_mb": {str(size): round(peak, 1) for size, peak in peaks.items()}, "grown_mb": round(grown, 1)}
    _harness.write(
        "index_memory", {"command": "python -m benchmarks.speed.index_memory"} | result | {"limit_mb": LIMIT_MB, "pass": passed}
    )
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
