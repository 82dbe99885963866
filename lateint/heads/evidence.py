"""Lexical and contextual evidence: a weighted sum of maxima over stored codes, added to the base cosine.

Softmax attention says what a query token found, not how well it fits; the best similarity says exactly that. So a cheap
sum of maxima beside the attention blocks carries what BM25 knows: is this word, in this sense, there?
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.errors import InputError
from lateint.heads._matches import best_matches, word_mean
from lateint.heads._validation import check_compares
from lateint.heads.cosine import coded_cosine, cosine
from lateint.heads.inputs import Candidates, QuantizedRows, Query, reads_bytes, reads_cosines, reads_raw
from lateint.methods.method import Method
from lateint_store import Pipeline


class Evidence(nn.Module):
    """score = tau·cosine + eps·Σ w_i·max_j cos(P q_i, D z_j) / Σ w_i over the query's words i and stored codes z_j.

    w_i = softplus of a linear map of the query token's state: a learned weight that plays the part of idf.
    Fresh: P is the compressor's own map (the identity without one), D the identity, and all weights are equal, so that
    the second term is the mean cosine of the best matches. `document_map=False` leaves D out for good: nothing is computed
    of a document's token by itself. Vectors that a learned map made are normalised here.
    Source: lateint; the sum of maxima is arXiv:2004.12832's. Cost a candidate: q·m·c multiply-adds, and m·c² with D.
    """

    needs_classifier = False
    reads = ("states", "vector")

    def __init__(self, backbone: Backbone, method: Method, compressor: Any = None, *, document_map: bool = True) -> None:
        super().__init__()
        check_compares(compressor, "evidence")
        width = backbone.width if compressor is None else compressor.width
        self.query_map = nn.Linear(backbone.width, width, bias=False)
        self.document_map = nn.Linear(width, width, bias=False) if document_map else None
        self.maps_vectors = method.vector_map is not None
        # What bytes give back is a guess, shorter where it is vague: its inner product is the best guess of the cosine.
        self.quantizer: tuple[Any, ...] = (compressor,) if hasattr(compressor, "codes") and not document_map else ()
        self.weight = nn.Linear(backbone.width, 1)
        self.log_cosine = nn.Parameter(torch.tensor(math.log(20.0)))
        self.log_evidence = nn.Parameter(torch.tensor(math.log(60.0)))
        with torch.no_grad():
            self.query_map.weight.copy_(torch.eye(width) if compressor is None else compressor.down)
            if self.document_map is not None:
                self.document_map.weight.copy_(torch.eye(width))
            self.weight.weight.zero_()
            self.weight.bias.zero_()

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Scores [n] float32 of n candidates."""
        return self.combine(query, docs, self.best(query, docs))

    def best(self, query: Query, docs: Candidates) -> Tensor:
        """The best similarity [n, q] of every query token with each candidate; a pad never wins."""
        if docs.states is None:
            raise InputError("this head reads 'states', which these candidates do not hold")
        theirs = docs.states if self.document_map is None else self.document_map(docs.states)
        return best_matches(self.query_map(query.rows.states[0]), theirs, docs.mask, lengths=bool(self.quantizer))

    def combine(self, query: Query, docs: Candidates, best: Tensor) -> Tensor:
        """tau·cosine + eps·weighted mean of the best similarities."""
        return self._sum(query, cosine(query, docs, normalise=self.maps_vectors), best)

    def can_score_quantized(self, through: Mapping[str, Pipeline]) -> bool:
        """Whether it can score these arrays as they are stored: directions in codes that fill whole bytes, and no map D."""
        if self.document_map is not None:
            return False
        states = reads_raw(through["states"]) if self.quantizer else reads_bytes(through["states"])
        return states and reads_cosines(through["vector"], self.maps_vectors)

    def score_quantized(self, query: Query, coded: Mapping[str, QuantizedRows]) -> Tensor:
        """Scores [n] float32 of n candidates from the bytes of their codes; equal to `score` but for rounding.

        Cost a candidate: q additions a byte of its states, one a byte of its vector.
        """
        best = coded["states"].best(self.query_map(query.rows.states[0]))
        return self._sum(query, coded_cosine(query, coded["vector"]), best)

    def _sum(self, query: Query, similar: Tensor, best: Tensor) -> Tensor:
        evidence = word_mean(best, self.weight(query.rows.states[0])[:, 0], query.text_mask)
        scores: Tensor = self.log_cosine.exp() * similar + self.log_evidence.exp() * evidence
        return scores.float()

    @torch.no_grad()
    def fit_weights(self, states: Tensor, token_ids: Tensor, first_word: int) -> None:
        """Start the token weights from word frequency: ridge regression of log rank on states [n, h].

        Vocabularies list frequent words first, so the rank of `token_ids` [n] stands for idf; ids from `first_word` on.
        """
        target = torch.log1p((token_ids.clamp(min=first_word) - first_word + 1).double()) / 3
        x = torch.cat([states.double(), torch.ones(len(states), 1, dtype=torch.float64)], dim=1)
        solution = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1], dtype=torch.float64), x.T @ target)
        self.weight.weight.copy_(solution[None, :-1].to(self.weight.weight))
        self.weight.bias.copy_(solution[-1:].to(self.weight.bias))


PART = Evidence
