"""Numbered, repeatable cases of damage: flipped bits and truncated files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import chain
from math import ceil
from pathlib import Path

import numpy as np

from tests.campaign import layout
from tests.campaign.stores import DELETED

ARRAYS = 3
FLIPS = 20_000
STORES = ("plain", "sealed", "rolled")
WEIGHTS = {"data.mdb": 85, "manifest.json": 10, "lock.mdb": 4, "writer.lock": 1}  # not by size: lock.mdb is mostly unused


@dataclass(frozen=True, slots=True)
class Case:
    """Flip the bits of `mask` in one byte of a file; a mask of 0 cuts the file at `offset`."""

    number: int
    store: str
    file: str
    offset: int
    mask: int

    def to_json(self) -> list[int | str]:
        """What the worker reads."""
        return list(astuple(self))


def flips(root: Path, seed: int, scale: float) -> list[Case]:
    """Flip random single bits: pick a store, one of its files by weight, a byte and a bit."""
    return [_flip(root, seed, number) for number in range(ceil(FLIPS * scale))]


def headers(root: Path, seed: int, scale: float) -> list[Case]:
    """Flip every bit outside payloads; in the store with two shards, only LMDB's structure of the first shard."""
    places = chain.from_iterable(_structure(root, name) for name in STORES)
    cases = [(store, file, offset, 1 << bit) for store, file, offset in places for bit in range(8)]
    return _sample(cases, seed, scale)


def truncations(root: Path, seed: int, scale: float) -> list[Case]:
    """Truncate the LMDB file of the plain store to every length, that of the sealed store to every 16th length."""
    cases = [
        (name, file.relative_to(root / name).as_posix(), length, 0)
        for name, step in (("plain", 1), ("sealed", 16))
        for file in _data_files(root / name)
        for length in range(0, file.stat().st_size, step)
    ]
    return _sample(cases, seed, scale)


SECTIONS = {"flips": flips, "headers": headers, "truncations": truncations}


def hit_documents(root: Path, cases: Sequence[Case]) -> dict[int, tuple[str, bool]]:
    """For each case that hits a live document's record: its id, and whether it hits a payload (else header or id)."""
    found = {}
    owners: dict[tuple[str, str], dict[int, tuple[str, bool]]] = {}
    for case in cases:
        if case.mask and case.file.endswith("data.mdb"):
            file = (case.store, case.file)
            if file not in owners:
                owners[file] = _owners((root / case.store / case.file).read_bytes())
            if case.offset in owners[file]:
                found[case.number] = owners[file][case.offset]
    return found


def _owners(data: bytes) -> dict[int, tuple[str, bool]]:
    return {
        offset: (record.doc_id, offset >= record.payloads)
        for record in layout.records(data, ARRAYS)
        if record.doc_id not in DELETED
        for offset in range(record.start, record.end)
    }


def _flip(root: Path, seed: int, number: int) -> Case:
    rng = np.random.default_rng([seed, number])
    store = STORES[rng.integers(len(STORES))]
    files = sorted(path for path in (root / store).rglob("*") if path.is_file() and path.stat().st_size)
    weights = np.array([WEIGHTS[path.name] for path in files], float)
    chosen = files[rng.choice(len(files), p=weights / weights.sum())]
    offset = int(rng.integers(chosen.stat().st_size))
    return Case(number, store, chosen.relative_to(root / store).as_posix(), offset, 1 << int(rng.integers(8)))


def _structure(root: Path, name: str) -> Iterator[tuple[str, str, int]]:
    folder = root / name
    file = _data_files(folder)[0]
    data = file.read_bytes()
    spans = list(layout.page_structure(data))
    if name != "rolled":
        yield from ((name, "manifest.json", offset) for offset in range((folder / "manifest.json").stat().st_size))
        spans.extend(layout.block_structure(data, ARRAYS))
    yield from ((name, file.relative_to(folder).as_posix(), offset) for span in spans for offset in span)


def _data_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*/data.mdb"))


def _sample(cases: Sequence[tuple[str, str, int, int]], seed: int, scale: float) -> list[Case]:
    chosen = range(len(cases))
    if scale < 1:
        chosen = np.sort(np.random.default_rng(seed).choice(len(cases), ceil(len(cases) * scale), replace=False)).tolist()
    return [Case(number, *cases[number]) for number in chosen]
