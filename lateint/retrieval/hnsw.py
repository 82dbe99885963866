"""Approximate search: a graph over all stored vectors, through usearch (extra `retrieve`); in memory, or kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lateint.errors import InputError, MissingExtra
from lateint.retrieval.vectors import Floats, Places, Vectors

FORMAT = 1
EXTRA = 64  # candidates beyond k: float16 swaps neighbours that float32 tells apart
CONNECTIVITY, EXPANSION_ADD, EXPANSION_SEARCH = 16, 128, 64  # usearch's own choices, written out: a file depends on them


class Hnsw:
    """Proposes candidates by a walk over a graph of neighbours; it may miss some, and finds fewer where the graph ends.

    Args: `vectors`; `file` keeps the graph, and `file` + `.json` says what it is of: `about`, which holds the content
    digest of the store. A file that is there is loaded, else it is written.
    Memory beside the vectors: a copy of them as float16 and about 150 bytes each. Cost: one walk a vector to build it, one
    a query. Built by many threads, two graphs may differ.
    Raises: MissingExtra without usearch; InputError for a file of other content, or one that cannot be read or written.
    """

    def __init__(self, vectors: Vectors, file: Path | None = None, about: Mapping[str, Any] | None = None) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise MissingExtra("usearch", "retrieve") from error
        self._vectors, (rows, width) = vectors, vectors.matrix.shape
        self._about = {"format": FORMAT, "documents": len(vectors), "rows": rows, "width": width, **(about or {})}
        self._index: Any = Index(
            ndim=width, metric="ip", dtype="f16", connectivity=CONNECTIVITY,
            expansion_add=EXPANSION_ADD, expansion_search=EXPANSION_SEARCH,
        )  # fmt: skip
        if file is not None and file.exists():
            self._load(file)
            return
        self._index.add(np.arange(rows, dtype=np.uint64), vectors.matrix, threads=torch.get_num_threads())
        if file is not None:
            self._save(file)

    def candidates(self, queries: Floats, k: int) -> Iterator[Places]:
        """For each row of queries [q, h] the places of k documents and some more, of fewer where the walk ends."""
        rows = -(-len(self._vectors.matrix) // len(self._vectors)) * k + EXTRA
        for query in queries:
            found = self._index.search(query, rows, threads=1).keys.astype(np.int64)
            yield np.unique(np.searchsorted(self._vectors.starts, found, side="right") - 1)

    def _save(self, file: Path) -> None:
        """Write graph, then description, each under its name in one step."""
        graph, about = (each.with_name(each.name + ".draft") for each in (file, _beside(file)))
        try:
            self._index.save(str(graph))
            about.write_text(json.dumps(self._about | {"digest": _digest(graph)}, indent=2) + "\n", encoding="utf-8")
            graph.replace(file)
            about.replace(_beside(file))
        except (OSError, RuntimeError) as error:  # usearch raises the latter
            raise InputError(f"cannot write the index {file}: {error}") from error

    def _load(self, file: Path) -> None:
        """Read a graph whose description says that it is of these vectors, and whose bytes are what was written."""
        try:
            about, digest = json.loads(_beside(file).read_bytes()), _digest(file)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot read the index {file} and its .json: {error}; remove both") from error
        if about != self._about | {"digest": digest}:
            raise InputError(
                f"the index {file} is damaged or of other vectors: it has {_shown(about)}, the store {_shown(self._about)}; "
                "remove it and its .json, or name another file"
            )
        self._index.load(str(file))


def _beside(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _shown(about: Any) -> str:
    if not isinstance(about, dict):
        return "no description"
    return f"{about.get('documents')} documents of content {str(about.get('content_digest'))[:12]}"
