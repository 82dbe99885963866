"""Ranking: candidates of a query by id from a store, or by text without one. The same code scores both."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lateint.compatible import check_model
from lateint.entries import by_length, pipelines, round_trip, score_all
from lateint.errors import InputError, MissingDocument
from lateint.model import Document, Model
from lateint.split import Query
from lateint.store import Store
from lateint_store import Ragged

Missing = Literal["error", "skip", "encode"]
TOKENS_AN_ENCODING = 4_096


@dataclass(frozen=True, slots=True)
class Hit:
    """One ranked document; `score` is the raw logit."""

    doc_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of one call went, in milliseconds, and what was read.

    fetch: bytes out of LMDB; decode: bytes to arrays; encode: documents that were not stored; compute: query and head.
    """

    fetch_ms: float
    decode_ms: float
    encode_ms: float
    compute_ms: float
    total_ms: float
    bytes_read: int
    candidates: int
    head: str


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[Hit]):
    """Hits from best to worst; equal scores stand in the order of their ids."""

    hits: tuple[Hit, ...]
    timing: Timing

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, index: Any) -> Any:
        return self.hits[index]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


class Ranker:
    """Scores the candidates of a query. Safe to use from many threads at once.

    Args: `model`; `store`, opened, whose entries the model's head reads.
    Raises: StoreMismatch if the store holds arrays of other weights, tokenizer, layout or codecs than the model makes.
    """

    def __init__(self, model: Model, store: Store | None = None) -> None:
        self.model, self.store = model, store
        if store is not None:
            check_model(model, store)
        self._through = pipelines(model) if store is None else dict(store.manifest.specs)

    def rank(
        self,
        query: str,
        doc_ids: Sequence[str] | None = None,
        *,
        documents: Sequence[Document | str] | None = None,
        top_k: int | None = None,
        missing: Missing = "error",
    ) -> Ranking:
        """Rank candidates by id (from the store), by text (`documents`), or both.

        Args: `doc_ids` candidates, each once; `documents` texts of candidates (a str is given its place as id), used
        alone, or with `doc_ids` and `missing="encode"` for ids that the store lacks; `top_k` keeps the best;
        `missing` what to do with ids that the store lacks: `error`, `skip`, or `encode`.
        Raises: InputError for a repeated id, an empty query or top_k < 1; MissingDocument; DamagedStore; ModelError for
        a score that is not finite.
        """
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k={top_k}; expected at least 1, or None for all")
        if missing not in ("error", "skip", "encode"):
            raise InputError(f"missing={missing!r}; expected 'error', 'skip' or 'encode'")
        if doc_ids is None and documents is None:
            raise InputError("no candidates: give doc_ids, ids of the store, or documents, their texts")
        clock = _Clock()
        texts = _as_documents(documents)
        ids = [d.id for d in texts] if doc_ids is None else list(doc_ids)
        _refuse_repeats(ids)
        state = clock.time("compute", lambda: self.model.query(query))
        absent: Sequence[str] = ids
        scored: list[tuple[str, float]] = []
        if doc_ids is not None:
            scored, lacking = self._score_stored(clock, state, ids)
            absent = self._to_encode(lacking, missing, {d.id for d in texts})
        if absent:
            scored += self._score_texts(clock, state, [d for d in texts if d.id in set(absent)])
        hits = sorted((Hit(doc_id, score) for doc_id, score in scored), key=lambda hit: (-hit.score, hit.doc_id))
        return Ranking(tuple(hits[:top_k]), clock.timing(len(hits), self.model.method.head.name))

    def _score_stored(self, clock: _Clock, state: Query, ids: Sequence[str]) -> tuple[list[tuple[str, float]], Sequence[str]]:
        """Scores of the candidates that the store holds, and the ids that it lacks."""
        store = self._store()
        raw = clock.time("fetch", lambda: store.fetch(ids, arrays=self.model.head.reads, missing="skip"))
        clock.bytes_read = raw.bytes_read
        if not len(raw):
            return [], raw.missing
        arrays = clock.time("decode", lambda: store.decode(raw))
        scores = clock.time("compute", lambda: score_all(self.model, state, arrays))
        return list(zip(raw.ids, scores.tolist(), strict=True)), raw.missing

    def _score_texts(self, clock: _Clock, state: Query, documents: Sequence[Document]) -> list[tuple[str, float]]:
        """Scores of candidates that are encoded now."""
        arrays = clock.time("encode", lambda: self._encode(documents))
        scores = clock.time("compute", lambda: score_all(self.model, state, arrays))
        return [(document.id, score) for document, score in zip(documents, scores.tolist(), strict=True)]

    def _store(self) -> Store:
        if self.store is None:
            raise InputError("candidates by id need a store; give Ranker(model, store) one, or pass documents=")
        return self.store

    def _to_encode(self, absent: Sequence[str], missing: Missing, texts: set[str]) -> Sequence[str]:
        """Those of the ids that the store lacks which are encoded now."""
        if missing == "skip" or not absent:
            return ()
        if missing == "error":
            raise MissingDocument(f"{len(absent)} of the candidates are not in {self._store().path}: {list(absent[:3])!r}")
        if untold := [doc_id for doc_id in absent if doc_id not in texts]:
            raise MissingDocument(f"missing='encode' needs the texts of {untold[:3]!r} in documents=")
        return absent

    def _encode(self, documents: Sequence[Document]) -> dict[str, Ragged]:
        """Arrays of documents that no store holds, through the same codecs as if one did."""
        rows = self.model.document_tokens(documents)
        entries: list[dict[str, NDArray[Any]]] = [{} for _ in rows]
        for places in by_length([len(row) for row in rows], TOKENS_AN_ENCODING):
            for place, entry in zip(places, self.model.encode([rows[i] for i in places]), strict=True):
                entries[place] = {name: entry[name] for name in self.model.head.reads}
        return round_trip(entries, {name: self._through[name] for name in self.model.head.reads})

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Raw scores [n] float32 of (query, text) pairs, in their order: what `rank` sorts on."""
        out = np.empty(len(pairs), dtype=np.float32)
        groups: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            groups.setdefault(query, []).append(place)
        for query, places in groups.items():
            arrays = self._encode([Document(str(place), pairs[place][1]) for place in places])
            out[places] = score_all(self.model, self.model.query(query), arrays)
        return out

    def predict(
        self,
        pairs: Sequence[tuple[str, str]] | tuple[str, str],
        activation_fn: Callable[[Any], Any] | None = None,
        batch_size: int = 32,
    ) -> Any:
        """Scores of pairs as sentence-transformers' CrossEncoder gives them: a sigmoid of the logit unless told otherwise.

        A single pair gives a single number. The activation gets a float32 torch tensor, never a half-precision one.
        `batch_size` is part of that contract; batches here are sized by tokens.
        Raises: InputError for batch_size < 1.
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}; expected at least 1")
        single = len(pairs) == 2 and isinstance(pairs[0], str)
        chosen: Any = [pairs] if single else pairs
        scores = self._activated(self.logits(chosen), activation_fn)
        return scores[0] if single else scores

    def rank_texts(
        self, query: str, texts: Sequence[str], *, top_k: int | None = None, return_documents: bool = False
    ) -> list[dict[str, Any]]:
        """Rank texts as sentence-transformers' CrossEncoder.rank does: `{"corpus_id", "score", "text"?}`, best first."""
        width = len(str(len(texts)))  # ids of equal length: ties stand in the order of the texts
        documents = [Document(f"{place:0{width}}", text) for place, text in enumerate(texts)]
        hits = self.rank(query, documents=documents, top_k=top_k)
        scores = self._activated(np.array([hit.score for hit in hits], dtype=np.float32), None)
        results: list[dict[str, Any]] = []
        for hit, score in zip(hits, scores.tolist(), strict=True):
            results.append({"corpus_id": int(hit.doc_id), "score": score})
            if return_documents:
                results[-1]["text"] = texts[int(hit.doc_id)]
        return results

    @staticmethod
    def _activated(logits: NDArray[np.float32], activation_fn: Callable[[Any], Any] | None) -> NDArray[Any]:
        import torch

        activation = torch.sigmoid if activation_fn is None else activation_fn
        found: NDArray[Any] = activation(torch.from_numpy(logits)).numpy()
        return found


class _Clock:
    """Adds up seconds by phase, from the moment it is made."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.fetch = self.decode = self.encode = self.compute = 0.0
        self.bytes_read = 0

    def time(self, phase: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        setattr(self, phase, getattr(self, phase) + time.perf_counter() - start)
        return result

    def timing(self, candidates: int, head: str) -> Timing:
        """What was added up, in milliseconds."""
        return Timing(
            fetch_ms=1e3 * self.fetch,
            decode_ms=1e3 * self.decode,
            encode_ms=1e3 * self.encode,
            compute_ms=1e3 * self.compute,
            total_ms=1e3 * (time.perf_counter() - self.started),
            bytes_read=self.bytes_read,
            candidates=candidates,
            head=head,
        )


def _as_documents(documents: Iterable[Document | str] | None) -> list[Document]:
    return [d if isinstance(d, Document) else Document(str(i), d) for i, d in enumerate(documents or ())]


def _refuse_repeats(ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        repeated = next(doc_id for doc_id, times in Counter(ids).items() if times > 1)
        raise InputError(f"candidate {repeated!r} is given twice; expected each id once")
