"""Explain a document's score: which query word met which word of the document, and its share of the score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lateint.backbone.layer import TokenStates
from lateint.backbone.wordpieces import words_of_ids, words_of_query
from lateint.errors import MissingDocument
from lateint.heads.base import TokenShares
from lateint.heads.inputs import Query
from lateint.indexing.chunks import Chunks, cut
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.ranking.aggregate import Aggregate
from lateint.ranking.candidates import EncodedTexts, StoredScorer
from lateint.ranking.scoring import explain_one, score_all, score_quantized
from lateint.results import Clock, Explanation, Match
from lateint_store import Ragged
from lateint_store.arguments import check_text
from lateint_store.codecs.rotated import Rotated

_NO_WORDS = "special tokens"
"""Name of the part of a score that the query's special tokens, markers and fill bring, where a head counts them."""
TokenIds = Sequence[list[int] | None]
"""The token id of each stored row, chunk by chunk; None for a chunk whose rows are known by number alone."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """The stored arrays of one document, chunk by chunk; those of `codecs` in their bytes."""

    model: Model
    arrays: Mapping[str, Ragged]
    codecs: Mapping[str, Rotated]

    def scores(self, query: Query) -> NDArray[np.float32]:
        """Return the scores of the chunks, as ranking computes them."""
        if self.codecs:
            return score_quantized(self.model, query, self.arrays, self.codecs)
        return score_all(self.model, query, self.arrays)

    def shares(self, query: Query, chunk: int) -> TokenShares:
        """Split the score of one chunk. Raises: InputError for a head that cannot explain."""
        chunks = len(next(iter(self.arrays.values())))
        return explain_one(self.model, query, EncodedTexts(dict(self.arrays), [1] * chunks).take([chunk]).arrays, self.codecs)

    def token_ids(self) -> TokenIds:
        """Return the token ids that the arrays hold."""
        if "token_ids" in self.arrays:
            return [ids.tolist() for ids in self.arrays["token_ids"]]
        if self.model.quantizer is None or "states" not in self.arrays:
            return [None] * len(next(iter(self.arrays.values())))
        held = (self.model.quantizer.token_ids(torch.from_numpy(codes)) for codes in self.arrays["states"])
        return [None if ids is None else ids.tolist() for ids in held]


def explain_stored(scorer: StoredScorer, query: str, doc_id: str) -> Explanation:
    """Explain the score of a stored document; its text is not needed.

    Raises: InputError for a head that cannot explain, and for a query without a token; MissingDocument; DamagedStore.
    """
    check_text(doc_id, "doc_id")
    state = scorer.model.query(query)
    arrays, sizes = scorer.read(Clock(), [doc_id])
    if not sizes:
        raise MissingDocument(f"document {doc_id!r} is not in {scorer.store.path}")
    entry = _Entry(scorer.model, arrays, scorer.codecs)
    return _explain(entry, entry.token_ids(), (query, state), doc_id, scorer.aggregate)


def explain_text(
    model: Model, query: str, document: Document, encoded: EncodedTexts, chunks: Chunks | None, aggregate: Aggregate
) -> Explanation:
    """Explain the score of a document that was encoded from its text. Raises: as `explain_stored`."""
    entry = _Entry(model, encoded.arrays, {})
    pieces = [document] if chunks is None else cut(chunks, model, [document]).documents
    held = zip(entry.token_ids(), _kept_ids(model, pieces), strict=True)
    ids = [stored or known for stored, known in held]
    return _explain(entry, ids, (query, model.query(query)), document.id, aggregate)


def _kept_ids(model: Model, pieces: Sequence[Document]) -> TokenIds:
    """Return the token ids of the rows that the pool keeps of each text, if it keeps tokens as they are."""
    if not model.pool.keeps_tokens:
        return [None] * len(pieces)
    found = []
    for tokens in model.document_tokens(pieces):
        ids = torch.tensor([tokens], device="cpu")
        states = torch.zeros(1, len(tokens), 1, device="cpu")
        mask = model.pool(TokenStates(states, torch.arange(len(tokens), device="cpu")[None]), ids).mask
        found.append((ids if mask is None else ids[mask]).flatten().tolist())
    return found


def _explain(entry: _Entry, ids: TokenIds, query: tuple[str, Query], doc_id: str, aggregate: Aggregate) -> Explanation:
    """Put together the shares of the chunks that make the document's score. `query`: its text, and its states."""
    text, state = query
    scores, model = entry.scores(state), entry.model
    ours = words_of_query(model.texts, text, model.method.query)
    chosen = aggregate.chosen(scores)
    shares: dict[tuple[int, int, int], float] = {}  # by chunk, first token of the query word, first row of the document word
    labels: dict[tuple[int, int, int], tuple[str, str | None]] = {}
    parts: dict[str, float] = {}
    for chunk in chosen:
        found, known = entry.shares(state, chunk), ids[chunk]
        theirs = None if known is None else words_of_ids(model.texts, known)
        for i, row, share in found.pairs:
            if not state.text_mask[i]:  # a marker or fill is no word of the query
                parts[_NO_WORDS] = parts.get(_NO_WORDS, 0.0) + share / len(chosen)
                continue
            position, word = (row, None) if theirs is None else theirs[row]
            key = chunk, ours[i].first, position
            shares[key] = shares.get(key, 0.0) + share / len(chosen)
            labels[key] = ours[i].text, word
        for name, share in found.parts.items():
            parts[name] = parts.get(name, 0.0) + share / len(chosen)
    matches = [Match(*labels[key], key[2], share, key[0]) for key, share in shares.items()]
    matches.sort(key=lambda match: -match.share)
    (score,) = aggregate(scores, [len(scores)])
    return Explanation(doc_id, score, tuple(matches), parts)
