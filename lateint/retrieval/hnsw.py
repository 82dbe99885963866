"""Approximate search with a graph over all stored vectors (usearch, extra `retrieve`), in memory or kept in a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from lateint.errors import InputError, MissingExtra, StoreError
from lateint.retrieval.vectors import Floats, Indices, Vectors
from lateint_store.disk.files import read_regular, replace_file, sync_file, sync_folder

_FORMAT = 1
_EXTRA = 64  # candidates beyond k, because float16 distances can change the order of close neighbours
_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 16, 128, 64  # usearch's defaults, fixed here because files depend on them


class Hnsw:
    """Find candidates by search in a graph of neighbours. It can miss documents, and return fewer than k.

    Args: `vectors`; `file` keeps the graph, and `file` + `.json` describes its content by `about`, which has the content
    digest of the store. An existing file is loaded, otherwise it is written.
    Memory beside the vectors: a float16 copy, and about 150 bytes per vector. Cost: one graph search per vector to build
    it, and one per query. Graphs are built by several threads, so two builds can differ.
    Raises: MissingExtra without usearch; InputError for a file of other content, or one that cannot be read or written.
    """

    def __init__(self, vectors: Vectors, file: Path | None = None, about: Mapping[str, str | bool] | None = None) -> None:
        try:
            from usearch.index import Index
        except ImportError as error:
            raise MissingExtra("usearch", "retrieve") from error
        self._vectors, (rows, width) = vectors, vectors.matrix.shape
        self._about: dict[str, object] = {
            "format": _FORMAT,
            "documents": len(vectors),
            "rows": rows,
            "width": width,
            **(about or {}),
        }
        self._index = Index(
            ndim=width, metric="ip", dtype="f16", connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD, expansion_search=_EXPANSION_SEARCH,
        )  # fmt: skip
        if file is not None and file.exists():
            self._load(file)
            return
        self._index.add(np.arange(rows, dtype=np.uint64), vectors.matrix, threads=torch.get_num_threads())
        if file is not None:
            self._save(file)

    def candidates(self, queries: Floats, k: int) -> Iterator[Indices]:
        """For each row of queries [q, h], yield the indices of somewhat more than k documents, or of as many as are found."""
        rows = -(-len(self._vectors.matrix) // len(self._vectors)) * k + _EXTRA
        for query in queries:
            found = self._index.search(query, rows, threads=1).keys.astype(np.int64)
            yield np.unique(np.searchsorted(self._vectors.starts, found, side="right") - 1)

    def _save(self, file: Path) -> None:
        """Write the description, then the graph: an index exists once its graph does. Each is synced, then renamed."""
        graph = file.with_name(file.name + ".draft")
        try:
            self._index.save(str(graph))
            sync_file(graph)
            about = self._about | {"digest": _digest(graph)}
            replace_file(_beside(file), (json.dumps(about, indent=2) + "\n").encode())
            graph.replace(file)
            sync_folder(file.absolute().parent)
        except (OSError, RuntimeError, StoreError) as error:  # usearch raises RuntimeError
            raise InputError(f"cannot write the index {file}: {error}") from error

    def _load(self, file: Path) -> None:
        """Load a graph, after checking that it was made from these vectors and that its bytes are unchanged."""
        try:
            about, digest = json.loads(read_regular(_beside(file))), _digest(file)
        except (OSError, ValueError) as error:
            reason = f"cannot read the index {file} and its .json: {error}"
            raise InputError(f"{reason}; name another file, or remove this index") from error
        if about != self._about | {"digest": digest}:
            raise InputError(
                f"the index {file} is damaged or of other vectors: it has {_shown(about)}, the store {_shown(self._about)}; "
                "remove it and its .json, or choose another file"
            )
        self._index.load(str(file))


def _beside(file: Path) -> Path:
    return file.with_name(file.name + ".json")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _shown(about: object) -> str:
    if not isinstance(about, dict):
        return "no description"
    return f"{about.get('documents')} documents of content {str(about.get('content_digest'))[:12]}"
