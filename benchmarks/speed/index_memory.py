"""Does the memory of a build grow with the corpus? Peak of anonymous memory of `build_store` over two corpora.

The model is a random BERT of two layers. Texts are made one at a time, so that only the build can hold them. Each build runs in
a process of its own. Numerator: the peak with 100,000 documents; denominator: the peak with 10,000. Required: the difference
is at most 50 MB (10^6 bytes).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import lateint
from benchmarks import _harness

SIZES = (10_000, 100_000)
LIMIT_MB = 50.0
WORDS_A_TEXT = (4, 24)  # fewest, most
DOC_TOKENS = 48


def peak_mb(documents: int, model: Path) -> float:
    """The peak of anonymous memory of a process that builds a store, in 10^6 bytes."""
    command = [sys.executable, "-m", "benchmarks.speed.index_memory", "--build", str(documents), "--model", str(model)]
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.run([*command, "--store", f"{folder}/store"], stdout=subprocess.PIPE, text=True, check=True)
    return int(child.stdout.split()[-1]) / 1e6


def build(documents: int, model: Path, store: Path) -> None:
    """In the child: build, then print the peak in bytes."""
    from tests.campaign.memory import Peak

    with Peak() as peak:
        texts = _harness.random_texts(documents, *WORDS_A_TEXT)
        with lateint.build_store(_harness.load_tiny(model, DOC_TOKENS), texts, store) as built:
            if len(built) != documents:
                raise RuntimeError(f"{len(built)} documents in the store, expected {documents}")
    print(peak.bytes)


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES, help="documents of both corpora")
    parser.add_argument("--build", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--store", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.build:
        build(options.build, options.model, options.store)
        return
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        model = _harness.tiny_checkpoint(Path(folder))
        for size in options.sizes:
            peaks[size] = peak_mb(size, model)
            print(f"{size:>8} documents: peak {peaks[size]:.1f} MB of anonymous memory", flush=True)
    grown = peaks[options.sizes[1]] - peaks[options.sizes[0]]
    passed = grown <= LIMIT_MB
    print(f"grown by {grown:.1f} MB, limit {LIMIT_MB:.0f} MB: {'PASS' if passed else 'FAIL'}")
    result = {
        "command": "python -m benchmarks.speed.index_memory",
        "peak_mb": {str(size): round(peak, 1) for size, peak in peaks.items()},
        "grown_mb": round(grown, 1),
        "limit_mb": LIMIT_MB,
        "pass": passed,
    }
    _harness.write("index_memory", result)
    sys.exit(0 if passed else 1)


if __name__ == "__main__":
    main()
