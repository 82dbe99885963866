"""Arrays of texts that no store holds: from the cache as far as it has them; what is encoded is kept there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from lateint.indexing.chunks import Pieces, cut
from lateint.indexing.codecs import round_trip
from lateint.model.batching import UNSTORED_TOKENS, by_length
from lateint.model.document import Document
from lateint.ranking.candidates import EncodedTexts
from lateint.ranking.ranker import Ranker
from lateint.serving.failures import too_large
from lateint_store import Pipeline, Ragged
from lateint_store.spec import Array

Arrays = Mapping[str, Array]


class Cache(Protocol):
    """What keeps the arrays of texts for one model and its codecs; see `text_cache.py`."""

    @property
    def problem(self) -> str | None:
        """Why the cache is off; None if it works."""
        ...

    def get(self, texts: Sequence[str]) -> list[dict[str, Array] | None]:
        """Return the decoded arrays of each text; None for one that is not kept."""
        ...

    def put(self, texts: Sequence[str], states: Sequence[dict[str, Array]]) -> None:
        """Keep the arrays that the model computed for these texts."""
        ...

    def statistics(self) -> Mapping[str, int]:
        """Return counts and sizes by name, as `TextCache.statistics` does."""
        ...

    def close(self) -> None:
        """Close the cache."""
        ...


@dataclass(slots=True)
class Encodings:
    """What the rankings of one thread may encode and did. `documents`: of each call, how many came from the cache."""

    reuse: bool
    most_tokens: int
    tokens: int = 0
    documents: list[int] = field(default_factory=list)


_limits: ContextVar[Encodings | None] = ContextVar("limits", default=None)


@contextmanager
def limited(reuse: bool, most_tokens: int) -> Iterator[Encodings]:
    """Count what rankings inside the block encode, and refuse more tokens than `most_tokens`. `reuse`: with the cache."""
    found = Encodings(reuse, most_tokens)
    token = _limits.set(found)
    try:
        yield found
    finally:
        _limits.reset(token)


class CachingRanker(Ranker):
    """A ranker that encodes no text twice once it has a `cache`, of its own model and codecs; the serving process sets it."""

    cache: Cache | None = None

    def _encode(self, documents: Sequence[Document]) -> EncodedTexts:
        limits = _limits.get()
        texts = CachedTexts.look_up(self, documents, limits is None or limits.reuse)
        if limits is not None:
            limits.documents.append(texts.reused)
            limits.tokens += texts.check_tokens(limits.most_tokens - limits.tokens)
        entries: list[dict[str, Array]] = [{} for _ in texts.rows]
        for batch in by_length([len(row) for row in texts.rows], UNSTORED_TOKENS):
            for index, entry in zip(batch, self.model.encode([texts.rows[i] for i in batch]), strict=True):
                entries[index] = entry
        return texts.complete(self, entries)


def cache_of(ranker: Ranker) -> Cache | None:
    """Return the cache of a ranker; None if it has none, or one that is off."""
    cache = ranker.cache if isinstance(ranker, CachingRanker) else None
    return None if cache is None or cache.problem is not None else cache


@dataclass(frozen=True, slots=True)
class CachedTexts:
    """Documents cut into pieces. `kept`: what the cache has of each piece; `rows`: tokens of the others; `cut`: texts without
    their end, among those that are encoded.
    """

    pieces: Pieces
    kept: list[dict[str, Array] | None]
    rows: list[list[int]]
    cut: int

    @classmethod
    def look_up(cls, ranker: Ranker, documents: Sequence[Document], reuse: bool) -> CachedTexts:
        """Ask the cache for every piece, and tokenise what it lacks. Raises: InputError for a text without a token."""
        chunks, cache = ranker.chunks, cache_of(ranker)
        pieces = Pieces(list(documents), [1] * len(documents)) if chunks is None else cut(chunks, ranker.model, documents)
        kept: list[dict[str, Array] | None] = [None] * len(pieces.documents)
        if cache is not None and reuse:
            kept = cache.get([piece.full_text for piece in pieces.documents])
        absent = [piece for piece, arrays in zip(pieces.documents, kept, strict=True) if arrays is None]
        rows, cut_off = ranker.model.tokenise(absent) if absent else ([], [])
        return cls(pieces, kept, rows, pieces.cut + sum(cut_off))

    def check_tokens(self, most: int) -> int:
        """Return how many tokens are to be encoded. Raises: Refused for more than `most`."""
        tokens = sum(map(len, self.rows))
        if tokens > most:
            raise too_large(f"{tokens} tokens to encode; expected at most {most}: send fewer or shorter texts")
        return tokens

    @property
    def reused(self) -> int:
        """How many documents came from the cache with all their pieces."""
        ends = np.cumsum(self.pieces.sizes)
        starts = ends - self.pieces.sizes
        return sum(None not in self.kept[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True))

    def complete(self, ranker: Ranker, entries: Sequence[dict[str, Array]]) -> EncodedTexts:
        """Put `entries`, the arrays of `rows`, and what was kept together, in the order of the pieces; keep the entries."""
        model, through, cache = ranker.model, ranker.through, cache_of(ranker)
        if cache is not None and entries:
            absent = [piece for piece, arrays in zip(self.pieces.documents, self.kept, strict=True) if arrays is None]
            cache.put([piece.full_text for piece in absent], entries)
        names = model.head.reads
        fresh = round_trip(entries, {name: through[name] for name in names}) if entries else {}
        if len(entries) == len(self.kept):
            return EncodedTexts(fresh, self.pieces.sizes, self.cut)
        numbers = iter(range(len(entries)))
        whole: list[Arrays] = []
        for kept in self.kept:
            if kept is None:
                number = next(numbers)
                whole.append({name: fresh[name][number] for name in names})
            else:
                whole.append(kept)
        return EncodedTexts({name: _joined(whole, name, through[name]) for name in names}, self.pieces.sizes, self.cut)


def _joined(entries: Sequence[Arrays], name: str, pipeline: Pipeline) -> Ragged:
    """Put one array of several documents into one block."""
    arrays = [entry[name] for entry in entries]
    if pipeline.spec.rows == "one":
        return Ragged(np.stack(arrays), np.arange(len(arrays) + 1), pipeline.spec)
    return Ragged(np.concatenate(arrays), np.cumsum([0, *map(len, arrays)]), pipeline.spec)
