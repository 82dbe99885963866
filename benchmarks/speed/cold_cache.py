"""What does a ranking cost if the store is not in memory? 1,000 candidates by id, page cache dropped against warm.

Numerator: the cold call. Denominator: the same call for the same ids just after, warm. For the cold call every file is synced,
the store is closed, each file is dropped with posix_fadvise(DONTNEED), and the store is opened again; the model stays loaded.
No special rights are needed. The call drops clean pages of the system's cache that no process maps, and nothing below it: what
the disk or a virtual disk's host caches stays, and a file system in memory (tmpfs) drops nothing. The shares of the store's
pages in memory (mincore) show what worked: after the drop, and after opening, just before the cold call. Opening reads the
index and what the system reads ahead; of a small store that is most of it, so opening is timed too, as `open`: its reads are
missing from the cold call.
Texts: passages of the standard library's documentation, repeated under other ids until there are enough.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import statistics
import tempfile
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lateint
from benchmarks import _harness

PARTS = ("fetch_ms", "decode_ms", "compute_ms", "total_ms")
IDS = 1_000


def files(store: Path) -> list[Path]:
    """All files of a store that are not empty."""
    return [file for file in sorted(store.rglob("*")) if file.is_file() and file.stat().st_size]


def drop(store: Path) -> None:
    """Ask the system to drop the cached pages of a closed store's files."""
    for file in files(store):
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.fsync(descriptor)  # a dirty page cannot be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def resident(store: Path) -> float:
    """The share of the store's pages that are in memory, 0..1."""
    libc = ctypes.CDLL(None, use_errno=True)
    in_memory = total = 0
    for file in files(store):
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
            pages = -(-len(mapped) // mmap.PAGESIZE)
            flags, start = (ctypes.c_ubyte * pages)(), ctypes.c_char.from_buffer(mapped)
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapped)), flags)
            del start
            if failed:
                raise OSError(ctypes.get_errno(), f"mincore of {file}")
            in_memory, total = in_memory + sum(flag & 1 for flag in flags), total + pages
    return in_memory / total


def measure(model: lateint.Model, documents: list[lateint.Document], folder: Path, pairs: int) -> dict[str, Any]:
    """Alternate between a cold call and a warm one; medians of milliseconds by phase."""
    questions, rng = cycle(_harness.library_questions()), np.random.default_rng(0)
    timings: dict[str, list[lateint.Timing]] = {"cold": [], "warm": []}
    opening, shares = [], []
    with lateint.build_store(model, documents, folder) as store:
        lateint.Ranker(model, store).rank(next(questions), [document.id for document in documents[:IDS]])
        size = store.info()["bytes"]
    for _ in range(pairs):
        ids = [documents[index].id for index in rng.choice(len(documents), IDS, replace=False).tolist()]
        question = next(questions)
        drop(folder)
        dropped = resident(folder)
        open_ms, opened = _harness.timed(lambda: lateint.open_store(folder))
        with opened as store:
            opening.append(open_ms)
            ranker = lateint.Ranker(model, store)
            shares.append((dropped, resident(folder)))
            for kind in ("cold", "warm"):
                timings[kind].append(ranker.rank(question, ids).timing)
    after_drop, after_open = (round(statistics.median(column), 3) for column in zip(*shares, strict=True))
    totals = {kind: [timing.total_ms for timing in taken] for kind, taken in timings.items()}
    return {
        **{kind: phase_medians(taken) for kind, taken in timings.items()},
        "ratio": round(_harness.median_ratio(totals["cold"], totals["warm"]), 2),
        "open_ms": round(statistics.median(opening), 2),
        "bytes": size,
        "resident_after_drop": after_drop,
        "resident_after_open": after_open,
    }


def phase_medians(timings: list[lateint.Timing]) -> dict[str, float]:
    """The median milliseconds of each phase."""
    return {part: round(statistics.median(getattr(timing, part) for timing in timings), 2) for part in PARTS}


def print_row(name: str, row: dict[str, Any]) -> None:
    """Print both calls of a model by phase, their ratio, and what was in memory."""
    for kind in ("cold", "warm"):
        print(f"{name:<8} {kind}: " + "  ".join(f"{part[:-3]} {row[kind][part]:.1f} ms" for part in PARTS))
    dropped, opened = 100 * row["resident_after_drop"], 100 * row["resident_after_open"]
    print(f"{name:<8} cold takes {row['ratio']} times as long as warm, opening {row['open_ms']:.1f} ms", end="; ")
    print(f"in memory: {dropped:.0f} % of the pages after the drop, {opened:.0f} % after opening", flush=True)


def main() -> None:
    parser = _harness.argument_parser(__doc__)
    parser.add_argument("--documents", type=int, default=4_000)
    parser.add_argument("--pairs", type=int, default=20, help="pairs of a cold call and a warm one")
    parser.add_argument("--methods", nargs="*", default=["latent", "colbert"])
    parser.add_argument("--folder", type=Path, help="build the stores here, on the disk to measure (default: temporary)")
    options = parser.parse_args()
    passages = _harness.library_documents()
    chosen = [passages[index % len(passages)] for index in range(options.documents)]
    documents = [lateint.Document(f"{index}", passage.text, passage.title) for index, passage in enumerate(chosen)]
    rows = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in options.methods:
            rows[name] = measure(_harness.load(name), documents, Path(folder) / name, options.pairs)
            print_row(name, rows[name])
    result = {
        "claim": f"rank {IDS} of {len(documents)} passages by id, files dropped from the page cache",
        "denominator": "the same call again, warm",
        "command": "python -m benchmarks.speed.cold_cache",
        "threads": torch.get_num_threads(),
        "pairs": options.pairs,
        "methods": rows,
    }
    _harness.save("cold_cache", result)


if __name__ == "__main__":
    main()
