"""What does a ranking cost if the store is not in memory? 1,000 candidates by id, page cache dropped against warm.

Denominator: the same call for the same ids just after, warm. Cold: every file is synced, the store is closed, each file is
dropped with posix_fadvise(DONTNEED), and the store opened afresh; the model stays loaded. No rights are needed. It drops clean
pages of the system's cache that no process maps, and nothing below: what a virtual disk's host or the disk itself caches
stays, and a file system that lives in memory (tmpfs) drops nothing. Shares of the store's pages in memory (mincore) say what
worked: after the drop, and after opening, just before the cold call. Opening reads the index and what the system reads around
it; of a small store that is most of it, so `open` is timed too: what the cold call is spared was paid there.
Texts: passages of the standard library's documentation, repeated with other ids until there are enough.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import os
import statistics
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lateint
from benchmarks import _harness
from lateint_eval.datasets.stdlib.passages import build_passages
from lateint_eval.datasets.stdlib.questions import load_questions

PARTS = ("fetch_ms", "decode_ms", "compute_ms", "total_ms")
IDS = 1_000


def files(store: Path) -> list[Path]:
    """All files of a store that hold anything."""
    return [file for file in sorted(store.rglob("*")) if file.is_file() and file.stat().st_size]


def drop(store: Path) -> None:
    """Ask the system to forget the files of a store that nobody holds open."""
    for file in files(store):
        descriptor = os.open(file, os.O_RDWR)
        try:
            os.fsync(descriptor)  # a dirty page cannot be dropped
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def resident(store: Path) -> float:
    """Share of the store's pages that are in memory, 0..1."""
    libc = ctypes.CDLL(None, use_errno=True)
    there = total = 0
    for file in files(store):
        with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY) as mapped:
            pages = -(-len(mapped) // mmap.PAGESIZE)
            found, start = (ctypes.c_ubyte * pages)(), ctypes.c_char.from_buffer(mapped)
            failed = libc.mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapped)), found)
            del start
            if failed:
                raise OSError(ctypes.get_errno(), f"mincore of {file}")
            there, total = there + sum(page & 1 for page in found), total + pages
    return there / total


def measure(model: lateint.Model, documents: list[lateint.Document], folder: Path, pairs: int) -> dict[str, Any]:
    """Alternate between a cold call and a warm one; medians of milliseconds by phase."""
    asked = cycle(question.text for question in load_questions("dev", {p.id for p in build_passages()}).kept)
    rng, cold, warm, opening, shares = np.random.default_rng(0), [], [], [], []
    with lateint.build_store(model, documents, folder) as store:
        lateint.Ranker(model, store).rank(next(asked), [document.id for document in documents[:IDS]])
        size = store.info()["bytes"]
    for _ in range(pairs):
        ids = [documents[place].id for place in rng.choice(len(documents), IDS, replace=False).tolist()]
        question = next(asked)
        drop(folder)
        dropped, start = resident(folder), time.perf_counter()
        with lateint.open_store(folder) as store:
            opening.append(1e3 * (time.perf_counter() - start))
            ranker = lateint.Ranker(model, store)
            shares.append((dropped, resident(folder)))
            cold.append(ranker.rank(question, ids).timing)
            warm.append(ranker.rank(question, ids).timing)
    middle = {
        name: {part: round(statistics.median(getattr(timing, part) for timing in taken), 2) for part in PARTS}
        for name, taken in (("cold", cold), ("warm", warm))
    }
    ratio = statistics.median(c.total_ms / w.total_ms for c, w in zip(cold, warm, strict=True))
    after_drop, after_open = (round(statistics.median(column), 3) for column in zip(*shares, strict=True))
    resident_shares = {"resident_after_drop": after_drop, "resident_after_open": after_open}
    return middle | {"ratio": round(ratio, 2), "open_ms": round(statistics.median(opening), 2), "bytes": size} | resident_shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=4_000)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--methods", nargs="*", default=["latent", "evidence"])
    parser.add_argument("--folder", type=Path, help="where stores are made: on the disk in question (default: temporary)")
    options = parser.parse_args()
    passages = build_passages()
    chosen = [passages[place % len(passages)] for place in range(options.documents)]
    documents = [lateint.Document(f"{place}", p.text, p.title) for place, p in enumerate(chosen)]
    found = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for name in options.methods:
            found[name] = row = measure(lateint.load_model(name), documents, Path(folder) / name, options.pairs)
            for kind in ("cold", "warm"):
                print(f"{name:<8} {kind}: " + "  ".join(f"{part[:-3]} {row[kind][part]:.1f} ms" for part in PARTS))
            dropped, opened = 100 * row["resident_after_drop"], 100 * row["resident_after_open"]
            print(f"{name:<8} {row['ratio']} times as long cold, opening {row['open_ms']:.1f} ms", end="; ")
            print(f"resident {dropped:.0f} % after the drop, {opened:.0f} % after opening", flush=True)
    result = {
        "claim": f"rank {IDS} of {len(documents)} passages by id, files dropped from the page cache",
        "denominator": "the same call again, warm",
        "command": "python -m benchmarks.speed.cold_cache",
        "threads": torch.get_num_threads(),
        "pairs": options.pairs,
    }
    print(f"written to {_harness.write('cold_cache', result | {'methods': found})}")


if __name__ == "__main__":
    main()
