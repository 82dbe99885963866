"""Retrieval: find the documents of a store whose vectors are nearest to the query's vector."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Literal, Protocol

import torch
from torch.nn import functional as F

from lateint.backbone.precision import way_out
from lateint.errors import InputError, ModelError, StoreError
from lateint.heads.cosine import Cosine
from lateint.heads.inputs import Query
from lateint.indexing.model_match import ModelMatch
from lateint.indexing.store import Store
from lateint.model.model import Model, check_is_model
from lateint.ranking.checks import check_store
from lateint.results import Hit, Ranking, Timing
from lateint.retrieval.exact import Exact
from lateint.retrieval.vectors import Floats, Indices, Vectors, load_vectors
from lateint_store.arguments import as_count, as_path, as_strings, check_choice, check_text

IndexName = Literal["exact", "hnsw"]
_QUERIES_AT_ONCE = 64


class Index(Protocol):
    """Find candidates for the top k; the retriever scores and sorts them."""

    def candidates(self, queries: Floats, k: int) -> Iterator[Indices]:
        """For each row of queries [q, h], yield the indices of candidate documents."""
        ...


class Retriever:
    """Find documents by the cosine of stored vectors, as a `cosine` head computes it. Safe to use from many threads.

    Has the documents that the store had at construction; make a new retriever after adding documents. The score of a
    document in chunks is the maximum over its chunks. While the store is open, retrieving raises StoreMismatch if its path
    holds another store.
    Args: `model`; `store`, an open store with an array `vector`; `index`, "exact", or "hnsw" (approximate, extra
    `retrieve`); `index_file` keeps the graph of "hnsw": it is loaded if it exists and has this content, else written.
    Raises: InputError for a store or a model without vectors, or an empty store; StoreMismatch if this model makes other
    vectors than the store's; DamagedStore; MissingExtra.
    Memory: 4·n·h bytes for vectors of width h, and the ids. Cost: decodes each vector once, at construction.
    """

    def __init__(
        self, model: Model, store: Store, index: IndexName = "exact", *, index_file: str | os.PathLike[str] | None = None
    ) -> None:
        check_choice(index, "index", "exact", "hnsw")
        if index_file is not None and index != "hnsw":
            raise InputError("index_file is for index='hnsw'; an exact search has no file")
        check_is_model(model)
        check_store(store)
        file = None if index_file is None else as_path(index_file, "index_file")
        self._match = _match(model, store)
        self.model, self._normalise = model, _normalises(model)
        self._store = store
        digest, dtype = store.content_digest(), next(model.parameters()).dtype
        self._vectors: Vectors = load_vectors(store, dtype, self._normalise)
        self._index: Index
        if index == "exact":
            self._index = Exact(self._vectors)
        else:
            from lateint.retrieval.hnsw import Hnsw

            if index_file is not None and store.content_digest() != digest:
                raise StoreError(f"store {store.path} changed while its vectors were read; try again")
            about: dict[str, str | bool] = {"content_digest": digest, "dtype": str(dtype), "normalised": self._normalise}
            self._index = Hnsw(self._vectors, file, about)

    def __len__(self) -> int:
        return len(self._vectors)

    def retrieve(self, query: str, k: int = 1000) -> Ranking:
        """Return the k documents with the largest cosine, or all if there are fewer; equal scores are sorted by id.

        Raises: InputError for k < 1 or a query without a token; ModelError for a score that is not finite.
        """
        check_text(query, "query")
        return next(self.retrieve_many([query], k))

    def retrieve_many(self, queries: Iterable[str], k: int = 1000) -> Iterator[Ranking]:
        """Yield the ranking of each query in order, as `retrieve` does; up to 64 queries share a matrix product.

        The timing of a query is the mean over its batch.
        """
        return self._retrieve(as_strings(queries, "queries", "queries"), min(as_count(k, "k"), len(self)))

    def _retrieve(self, queries: Sequence[str], k: int) -> Iterator[Ranking]:
        with suppress(StoreError):  # a store that was closed or removed is not needed any more; another one is refused
            self._store.check()
        self._match.check()
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            began = time.perf_counter()
            computed = self.model.queries(queries[start : start + _QUERIES_AT_ONCE])
            vectors = self._query_vectors(computed)
            candidates = self._index.candidates(vectors, k)
            hits = [self._top_k(indices, vector, k) for indices, vector in zip(candidates, vectors, strict=True)]
            each = 1e3 * (time.perf_counter() - began) / len(hits)
            for query, hits_of_query in zip(computed, hits, strict=True):
                yield Ranking(hits_of_query, _timing(each, len(self), query.cut))

    def _query_vectors(self, queries: Sequence[Query]) -> Floats:
        """Return the vectors of queries: float32 [q, h]."""
        vectors = torch.stack([query.vector for query in queries if query.vector is not None]).float()
        if not bool(torch.isfinite(vectors).all()):
            dtype = next(self.model.parameters()).dtype
            raise ModelError(f"{self.model.name} gives a query a vector that is not finite in {dtype}: {way_out(dtype)}")
        host: Floats = (F.normalize(vectors, dim=-1) if self._normalise else vectors).cpu().numpy()
        return host

    def _top_k(self, indices: Indices, query: Floats, k: int) -> tuple[Hit, ...]:
        """Score the documents at these indices and return the best k."""
        scores = self._vectors.scores(indices, query).tolist()
        hits = [Hit(self._vectors.ids[int(index)], score) for index, score in zip(indices, scores, strict=True)]
        return tuple(sorted(hits, key=lambda hit: (-hit.score, hit.doc_id))[:k])


def _timing(ms: float, candidates: int, cut: bool) -> Timing:
    """Count all time as compute: a query reads nothing from disk."""
    return Timing(
        fetch_ms=0.0,
        decode_ms=0.0,
        encode_ms=0.0,
        compute_ms=ms,
        total_ms=ms,
        bytes_read=0,
        candidates=candidates,
        head="cosine",
        cut_queries=int(cut),
    )


def _normalises(model: Model) -> bool:
    """True if a cosine has to normalise vectors: as the head says if it has the setting, else unless the pool normalises."""
    if isinstance(model.head, Cosine):
        return model.head.normalise
    return model.vector_map is not None or model.vector_pool is None or not model.vector_pool.normalise


def _match(model: Model, store: Store) -> ModelMatch:
    """Reject a store or a model without vectors, and a store made by another model. Raises: InputError, StoreMismatch."""
    if "vector" not in store.manifest.arrays:
        raise InputError(
            f"store {store.path} holds no array 'vector', only {', '.join(store.manifest.arrays)}; index with a method that "
            "stores one (such as `cosine` or the default checkpoint), or retrieve with another system and rank with this store"
        )
    if "vector" not in model.arrays:
        raise InputError(
            f"method {model.method.name!r} of {model.name} computes no vectors; load a model whose method has `vector`, "
            f"such as the one that the store records, {store.manifest.model.get('name', 'unknown')}"
        )
    return ModelMatch(model, store, ("vector",))
