"""Lexical and contextual evidence: a weighted mean of max similarities over stored codes, added to the base cosine.

Softmax attention returns what a query token found, but not how well it matched; the max similarity is that measure. So an
inexpensive sum of maxima beside attention blocks adds what BM25 knows: whether this word, in this sense, occurs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.compressors.base import Compressor, Quantizer
from lateint.heads._matches import max_similarities, same_words, similarities, weighted_mean, weights_of_mean
from lateint.heads._validation import (
    Rows,
    check_choice,
    check_compares,
    check_holds_words,
    require_query_ids,
    require_states,
    require_token_ids,
)
from lateint.heads.base import HeadFitData, QuantizedHead, TokenShares
from lateint.heads.cosine import cosine, quantized_cosine
from lateint.heads.inputs import Candidates, QuantizedRows, Query, holds_cosines, is_byte_aligned, is_raw_bytes
from lateint.methods.method import Method
from lateint_store import Pipeline

FIRST_WORD = 996  # BERT vocabularies begin with unused and single-character entries; words follow by falling frequency


class Evidence(QuantizedHead):
    """score = tau·cosine + eps·Σ w_i·max_j cos(P q_i, D z_j) / Σ w_i over rows i of the query and stored codes z_j.

    w_i is softplus of a linear map of the query token's state: a learned weight with the role of idf.
    Fresh: P is the compressor's own map (the identity without one), D the identity, and all weights are equal, so the
    second term is the mean of the max cosines. `document_map=False` removes D: then no map is applied to document tokens
    online, so their codes can be scored as stored. `rows`: "text", the tokens of the query's text, or "all", special tokens
    and fill as well, as in ColBERT. Vectors that a learned map made are normalised here. `same_word=True` adds a learned gamma
    to the largest similarity of a text token whose very word piece the candidate holds, which codes that begin with a word
    know: what compression blurs, that the word occurs, is exact again and takes no byte. Fresh gamma: 0.1.
    Source: lateint; the sum of maxima is arXiv:2004.12832's. Cost per candidate: q·m·c multiply-adds, and m·c² with D.
    """

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        compressor: Compressor | None = None,
        *,
        document_map: bool = True,
        rows: Rows = "text",
        same_word: bool = False,
    ) -> None:
        super().__init__(backbone, compressor)
        check_choice("rows", rows, Rows)
        if same_word:
            check_holds_words(compressor, "evidence")
        self.rows = rows
        self.same_word = nn.Parameter(torch.tensor(0.1)) if same_word else None
        check_compares(compressor, "evidence")
        width = backbone.width if compressor is None else compressor.width
        self.query_map = nn.Linear(backbone.width, width, bias=False)
        self.document_map = nn.Linear(width, width, bias=False) if document_map else None
        self.maps_vectors = method.vector_map is not None
        # A quantiser decodes to a mean, which is shorter where it is less certain: its inner product estimates the cosine best.
        self.by_inner_product = isinstance(compressor, Quantizer) and not document_map
        self.by_vector = isinstance(compressor, Quantizer) and compressor.vector_width is not None
        self.weight = nn.Linear(backbone.width, 1)
        self.log_cosine = nn.Parameter(torch.tensor(math.log(20.0)))
        self.log_evidence = nn.Parameter(torch.tensor(math.log(60.0)))
        down = None if compressor is None else compressor.linear_down()
        with torch.no_grad():
            self.query_map.weight.copy_(torch.eye(width) if down is None else down)
            if self.document_map is not None:
                self.document_map.weight.copy_(torch.eye(width))
            self.weight.weight.zero_()
            self.weight.bias.zero_()

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        return ("states", "vector")

    def evidence_term(self) -> Evidence:
        """Return this head itself."""
        return self

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Return the scores [n] float32 of n candidates."""
        return self.combine(query, docs, self.max_similarity(query, docs))

    def max_similarity(self, query: Query, docs: Candidates) -> Tensor:
        """Return the largest similarity [n, q] of every query token with each candidate; padding never wins."""
        ours, theirs = self.query_map(query.rows.states[0]), self._theirs(docs)
        found = max_similarities(ours, theirs, docs.mask, inner_product=self.by_inner_product)
        return found if self.same_word is None else found + self._bonus(query, self._same_words(query, docs).any(dim=1))

    def _same_words(self, query: Query, docs: Candidates) -> Tensor:
        """Return which rows of documents are the word piece of a query row, bool [n, m, q]."""
        return same_words(*require_token_ids(query, docs, "evidence"), docs.mask)

    def _bonus(self, query: Query, held: Tensor) -> Tensor:
        """Return what [n, q] adds to similarities, for the words that documents hold [n, q]: gamma where it is a text's."""
        assert self.same_word is not None
        return self.same_word * (held & query.text_mask)

    def _theirs(self, docs: Candidates) -> Tensor:
        """Return what query tokens are compared with, [n, m, c]."""
        states = require_states(docs, "evidence")
        return states if self.document_map is None else self.document_map(states)

    def combine(self, query: Query, docs: Candidates, similarity: Tensor) -> Tensor:
        """Return tau·cosine + eps·(weighted mean of max similarities [n, q]): [n] float32."""
        return self._sum(query, cosine(query, docs, normalise=self.maps_vectors), similarity)

    def can_score_quantized(self, pipelines: Mapping[str, Pipeline]) -> bool:
        """True if codes are byte-aligned and there is no document map."""
        if self.document_map is not None:
            return False
        check = is_raw_bytes if self.by_inner_product else is_byte_aligned
        vectors = pipelines["vector"]
        return check(pipelines["states"]) and holds_cosines(vectors, self.maps_vectors and not self.by_vector)

    def score_quantized(self, query: Query, rows: Mapping[str, QuantizedRows]) -> Tensor:
        """Return the scores [n] float32 of n candidates from stored bytes; equal to `score` but for rounding.

        Cost per candidate: q additions per byte of its states, one per byte of its vector.
        """
        similarity = rows["states"].max_similarity(self.query_map(query.rows.states[0]))
        if self.same_word is not None:
            similarity = similarity + self._bonus(query, rows["states"].words_held(require_query_ids(query, "evidence")))
        return self._sum(query, quantized_cosine(query, rows["vector"]), similarity)

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate: a share for every text token of the query, and part `cosine`."""
        ours, theirs = self.query_map(query.rows.states[0]), self._theirs(docs)
        similarity = similarities(ours, theirs, docs.mask, inner_product=self.by_inner_product)[0]
        same = None if self.same_word is None else self._same_words(query, docs)[0]
        return self._shares(query, cosine(query, docs, normalise=self.maps_vectors), similarity, same)

    def explain_quantized(self, query: Query, rows: Mapping[str, QuantizedRows]) -> TokenShares:
        """Split the score of one candidate in the same way, from stored bytes."""
        states = rows["states"]
        similarity = states.max_similarity(self.query_map(query.rows.states[0]))
        same = None if self.same_word is None else states.words_held(require_query_ids(query, "evidence"))
        return self._shares(query, quantized_cosine(query, rows["vector"]), similarity, same)

    def _shares(self, query: Query, cosine: Tensor, similarity: Tensor, same: Tensor | None) -> TokenShares:
        """Return the shares for a cosine [1], similarities [m, q], and which rows are the same word [m, q]."""
        counted = self._counted(query)
        weights = weights_of_mean(self.weight(query.rows.states[0])[:, 0], counted)
        factor = self.log_evidence.exp().float() * weights
        shares = TokenShares.of(similarity, factor, counted, cosine=self.log_cosine.exp() * cosine)
        if same is None:
            return shares
        gains = self._bonus(query, same) * factor
        first = [(i, int(same[:, i].int().argmax())) for i in same.any(dim=0).nonzero()[:, 0].tolist()]  # row of the word
        return shares + TokenShares(tuple((i, row, float(gains[row, i])) for i, row in first), {})

    def _sum(self, query: Query, cosines: Tensor, similarity: Tensor) -> Tensor:
        evidence = weighted_mean(similarity, self.weight(query.rows.states[0])[:, 0], self._counted(query))
        scores: Tensor = self.log_cosine.exp() * cosines + self.log_evidence.exp() * evidence
        return scores.float()

    def _counted(self, query: Query) -> Tensor:
        """Return the rows of the query that count, [q] bool."""
        return query.text_mask if self.rows == "text" else torch.ones_like(query.text_mask)

    def fit(self, data: HeadFitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit token weights to word frequency, unless "evidence" was trained, or rows that are no words count as well."""
        if "evidence" not in trained and self.rows == "text":
            sample = data.query_tokens()
            assert sample.token_ids is not None
            words = sample.token_ids >= FIRST_WORD
            self.fit_weights(sample.states[words], sample.token_ids[words], FIRST_WORD)
        return {}

    @torch.no_grad()
    def fit_weights(self, states: Tensor, token_ids: Tensor, first_word: int) -> None:
        """Fit token weights by ridge regression of the log vocabulary rank of tokens on their states [n, h].

        Vocabularies list frequent words first, so the rank of `token_ids` [n], counted from `first_word`, replaces idf.
        """
        target = torch.log1p((token_ids.clamp(min=first_word) - first_word + 1).double()) / 3
        x = torch.cat([states.double(), torch.ones(len(states), 1, dtype=torch.float64)], dim=1)
        solution = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1], dtype=torch.float64), x.T @ target)
        self.weight.weight.copy_(solution[None, :-1].to(self.weight.weight))
        self.weight.bias.copy_(solution[-1:].to(self.weight.bias))


PART = Evidence
