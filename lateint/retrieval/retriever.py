"""Retrieval: the documents of a whole store whose vectors are nearest to a query's, best first."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch.nn import functional as F

from lateint.errors import InputError, ModelError, StoreError
from lateint.indexing.compatibility import check_model
from lateint.indexing.store import Store
from lateint.model.model import Model
from lateint.results import Hit, Ranking, Timing
from lateint.retrieval.exact import Exact
from lateint.retrieval.vectors import Floats, Places, Vectors, load_vectors

Index = Literal["exact", "hnsw"]
QUERIES_AT_ONCE = 64


class Nearest(Protocol):
    """An index: it proposes, the retriever scores and sorts."""

    def candidates(self, queries: Floats, k: int) -> Iterator[Places]:
        """Places of likely documents for each row of queries [q, h]."""
        ...


class Retriever:
    """Finds documents by the cosine of stored vectors, as a `cosine` head computes it. Safe to use from many threads.

    Holds the documents that the store had when this was made; make another one for those that were added since. Of a
    document that was cut into chunks the best one counts.
    Args: `model`; `store`, opened, with an array `vector`; `index` "exact", or "hnsw" (approximate, extra `retrieve`),
    then `index_file` keeps the graph: it is loaded if it is there and of this content, written if it is not.
    Raises: InputError for a store or a model without vectors, or an empty store; StoreMismatch if the store's vectors
    are not what this model makes; DamagedStore; MissingExtra.
    Memory: 4·n·h bytes and the ids, h being the width of a vector; each is decoded once, when this is made.
    """

    def __init__(
        self, model: Model, store: Store, index: Index = "exact", *, index_file: str | os.PathLike[str] | None = None
    ) -> None:
        if index not in ("exact", "hnsw"):
            raise InputError(f"index={index!r}; expected 'exact' or 'hnsw'")
        if index_file is not None and index != "hnsw":
            raise InputError("index_file keeps the graph of index='hnsw'; an exact search needs none")
        _check(model, store)
        self.model, self._normalise = model, _normalises(model)
        digest, dtype = store.content_digest(), next(model.parameters()).dtype
        self._vectors: Vectors = load_vectors(store, dtype, self._normalise)
        self._index: Nearest
        if index == "exact":
            self._index = Exact(self._vectors)
        else:
            from lateint.retrieval.hnsw import Hnsw

            if index_file is not None and store.content_digest() != digest:
                raise StoreError(f"store {store.path} changed while its vectors were read; make the index again")
            about = {"content_digest": digest, "dtype": str(dtype), "normalised": self._normalise}
            self._index = Hnsw(self._vectors, None if index_file is None else Path(index_file), about)

    def __len__(self) -> int:
        return len(self._vectors)

    def retrieve(self, query: str, k: int = 1000) -> Ranking:
        """The k documents with the largest cosine (all, if there are fewer); equal scores stand in the order of ids.

        Raises: InputError for k < 1 or a query without a token; ModelError for a score that is not finite.
        """
        return next(self.retrieve_many([query], k))

    def retrieve_many(self, queries: Sequence[str], k: int = 1000) -> Iterator[Ranking]:
        """A ranking for every query, in their order, as `retrieve` gives it; 64 at a time share a product.

        The timing of each is the mean over those that it shares one with.
        """
        if isinstance(k, bool) or k < 1:
            raise InputError(f"k={k}; expected at least 1")
        return self._retrieve(queries, min(k, len(self)))

    def _retrieve(self, queries: Sequence[str], k: int) -> Iterator[Ranking]:
        for start in range(0, len(queries), QUERIES_AT_ONCE):
            begun = time.perf_counter()
            vectors = self._query_vectors(queries[start : start + QUERIES_AT_ONCE])
            found = self._index.candidates(vectors, k)
            hits = [self._best(places, vector, k) for places, vector in zip(found, vectors, strict=True)]
            each = 1e3 * (time.perf_counter() - begun) / len(hits)
            timing = _timing(each, len(self))
            yield from (Ranking(one, timing) for one in hits)

    def _query_vectors(self, queries: Sequence[str]) -> Floats:
        """Vectors [q, h] float32 of queries."""
        found = [query.vector for query in self.model.queries(queries)]
        vectors = torch.stack([vector for vector in found if vector is not None]).float()
        if not bool(torch.isfinite(vectors).all()):
            raise ModelError(f"{self.model.name} gives a query a vector that is not finite; load it with dtype='float32'")
        host: Floats = (F.normalize(vectors, dim=-1) if self._normalise else vectors).cpu().numpy()
        return host

    def _best(self, places: Places, query: Floats, k: int) -> tuple[Hit, ...]:
        """The best k of these documents."""
        scores = self._vectors.scores(places, query).tolist()
        hits = [Hit(self._vectors.ids[int(place)], score) for place, score in zip(places.tolist(), scores, strict=True)]
        return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.doc_id))[:k])


def _timing(ms: float, candidates: int) -> Timing:
    """All of it is computing: nothing is fetched from disk for a query."""
    phases: dict[str, Any] = {"fetch_ms": 0.0, "decode_ms": 0.0, "encode_ms": 0.0, "compute_ms": ms, "total_ms": ms}
    return Timing(**phases, bytes_read=0, candidates=candidates, head="cosine")


def _normalises(model: Model) -> bool:
    """Whether a cosine brings vectors to length 1 itself: as the head says, if it is one; else, if nothing before does."""
    pool: Any = model.vector_pool
    return bool(getattr(model.head, "normalise", model.vector_map is not None or not getattr(pool, "normalise", False)))


def _check(model: Model, store: Any) -> None:
    """Refuse a store without vectors, a model that makes none, and two that do not belong together."""
    if "vector" not in store.manifest.arrays:
        raise InputError(
            f"store {store.path} holds no array 'vector', only {', '.join(store.manifest.arrays)}; index with a method that "
            "stores one (such as `cosine` or the default checkpoint), or retrieve elsewhere and rank with this store"
        )
    if "vector" not in model.arrays:
        raise InputError(
            f"method {model.method.name!r} of {model.name} makes no vectors; load a model whose method has `vector`, "
            f"such as the one that the store records, {store.manifest.model.get('name', 'unknown')}"
        )
    check_model(model, store, ("vector",))
