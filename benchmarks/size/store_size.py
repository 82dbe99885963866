"""How many bytes does a passage take on disk? All bytes that the file system allocates, against the encoded arrays.

Numerator: `st_blocks` of the store's folder and everything in it (data, index, lock file, manifest), after the build and after
`seal`. Denominator: the bytes of the encoded arrays. Required: at most 1.25 around 500 bytes a passage, 1.10 from 4 kB on.

1. Synthetic passages: lengths spread by half around the mean, ids of 10 bytes.
2. States of all-MiniLM-L6-v2 (method `mice`, 384 wide) over passages of the standard library's documentation, for each codec
   pipeline, with the loss of its codecs: largest error of a number, mean cosine of a token's vector before and after.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import lateint
from benchmarks import _harness
from lateint.indexing.encoding import encode_window
from lateint_store import ArraySpec, Entry, Pipeline, Store, create_store, parse_codecs

LIMITS = {400: 1.25, 500: 1.25, 600: 1.25, 4_000: 1.10, 8_000: 1.10}
PIPELINES = {
    "raw float32": "states=raw",
    "float16": "states=cast:float16",
    "float16 + zstd": "states=cast:float16+zstd",
    "int8": "states=int8",
    "int8 + zstd": "states=int8+zstd",
    "int4": "states=int4",
    "int4 + zstd": "states=int4+zstd",
}
COLUMNS = 4
WINDOW = 512
ABOUT: dict[str, Any] = {"model": {"name": "benchmark"}, "fingerprint": {}, "head": {}}


def fill(path: Path, pipeline: Pipeline, entries: Iterator[Entry]) -> Store:
    """Build a store of one array, window by window."""
    store: Store = create_store(path, {"states": pipeline}, **ABOUT, window=WINDOW)
    done = 0
    while window := list(islice(entries, WINDOW)):
        done += len(window)
        store.append(window, done, "")
    return store


def measure(store: Store, encoded: int) -> dict[str, Any]:
    """Bytes a passage before and after sealing, and their ratios to the encoded bytes; closes the store."""
    with store:
        documents, built = len(store), store.info()["bytes"]
        store.seal()
        sealed = store.info()["bytes"]
    return {
        "documents": documents,
        "encoded": round(encoded / documents, 1),
        "built": round(built / documents, 1),
        "sealed": round(sealed / documents, 1),
        "ratio_built": round(built / encoded, 4),
        "ratio_sealed": round(sealed / encoded, 4),
    }


def synthetic(size: int, documents: int) -> dict[str, Any]:
    """Sizes of a store of passages with `size` encoded bytes on average, and whether it keeps its limit."""
    rng = np.random.default_rng(size)
    rows = np.rint(size / COLUMNS * rng.uniform(0.5, 1.5, documents)).astype(int)
    numbers = rng.integers(0, 256, (int(rows.max()), COLUMNS), dtype=np.uint8)
    entries = (Entry(f"D{number:09d}", {"states": numbers[:count]}) for number, count in enumerate(rows.tolist()))
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        store = fill(Path(folder) / "store", Pipeline(ArraySpec("uint8", COLUMNS)), entries)
        sizes = measure(store, int(rows.sum()) * COLUMNS)
        limit = LIMITS[size]
        passed = max(sizes["ratio_built"], sizes["ratio_sealed"]) <= limit
        return {"size": size} | sizes | {"limit": limit, "pass": passed, "seconds": round(time.perf_counter() - start, 1)}


def real(name: str, entries: Sequence[Entry]) -> dict[str, Any]:
    """Sizes of a store of states with one codec pipeline, and the loss of the codecs."""
    pipeline = Pipeline(ArraySpec("float32", entries[0].arrays["states"].shape[1]), parse_codecs(PIPELINES[name])["states"])
    with tempfile.TemporaryDirectory() as folder:
        store = fill(Path(folder) / "store", pipeline, iter(entries))
        encoded, errors, cosines = 0, [], []
        for start in range(0, len(entries), WINDOW):
            window = entries[start : start + WINDOW]
            fetched = store.fetch([entry.id for entry in window])
            encoded += sum(map(len, fetched.payloads["states"]))
            decoded = store.decode(fetched)["states"]
            for index, entry in enumerate(window):
                before, after = entry.arrays["states"], np.asarray(decoded[index], np.float32)
                errors.append(float(np.abs(before - after).max()))
                lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
                cosines.append((before * after).sum(1) / lengths)
        loss = {"max_error": max(errors), "mean_cosine": float(np.concatenate(cosines).mean(dtype=np.float64))}
        return {"codecs": name} | measure(store, encoded) | loss


def states(documents: int) -> list[Entry]:
    """Entries of the first passages of the standard library's documentation."""
    model, passages = lateint.load_model(_harness.BASE, method="mice"), _harness.library_documents(documents)
    starts = range(0, len(passages), WINDOW)
    windows = [encode_window(model, passages[start : start + WINDOW], start) for start in starts]
    return [entry for window in windows for entry in window.entries]


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--documents", type=int, default=100_000, help="synthetic passages for each size")
    parser.add_argument("--passages", type=int, default=1_000, help="passages to encode with the model")
    options = parser.parse_args()
    synthetic_rows, state_rows = [], []
    print(f"{'bytes a passage':>16} {'encoded':>9} {'built':>9} {'ratio':>7} {'sealed':>9} {'ratio':>7}  limit")
    for size in LIMITS:
        synthetic_rows.append(row := synthetic(size, options.documents))
        verdict = f"{row['limit']:.2f} {'PASS' if row['pass'] else 'FAIL'}"
        print(f"{size:>16} {_sizes(row)}  {verdict} ({row['seconds']} s)", flush=True)
    entries = states(options.passages)
    tokens = sum(len(entry.arrays["states"]) for entry in entries)
    print(f"\n{len(entries)} passages, {tokens / len(entries):.1f} tokens each, 384 numbers a token")
    for name in PIPELINES:
        state_rows.append(row := real(name, entries))
        print(f"{name:>16} {_sizes(row)}  error {row['max_error']:.2e}, cosine {row['mean_cosine']:.6f}", flush=True)
    of_states = {"tokens_a_passage": round(tokens / len(entries), 1), "pipelines": state_rows}
    command = "python -m benchmarks.size.store_size"
    _harness.write("store_size", {"command": command, "synthetic": synthetic_rows, "states": of_states})
    sys.exit(0 if all(row["pass"] for row in synthetic_rows) else 1)


def _sizes(row: dict[str, Any]) -> str:
    return (
        f"{row['encoded']:>9.1f} {row['built']:>9.1f} {row['ratio_built']:>7.4f} "
        f"{row['sealed']:>9.1f} {row['ratio_sealed']:>7.4f}"
    )


if __name__ == "__main__":
    main()
