"""The remaining layers L..T over query and document together: PreTTR, DeFormer, SDR, and with L = 0 any cross-encoder."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import TokenStates
from lateint.backbone.split import document_start, join
from lateint.compressors.base import Compressor
from lateint.errors import InputError, ModelError
from lateint.heads._gates import Gates
from lateint.heads._matches import Matches, split_rows
from lateint.heads._validation import check_choice, check_expands
from lateint.heads.base import JointHead, TokenShares, Watch
from lateint.heads.cosine import cosine
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method

Readout = Literal["cls", "matches", "calibrated_matches"]
Residual = Literal["none", "cosine"]


class JointLayers(JointHead):
    """Full attention over q + m tokens, then a readout.

    Settings:
    - `readout`: `cls`, as published, is the checkpoint's classifier; the last layer computes the CLS row alone if the
      classifier reads only that. `matches` (ours): means and max similarities of all joint rows, see `heads/_matches.py`,
      without a classifier. `calibrated_matches`: the same as a calibrated logit, for labels of single pairs.
    - `gate` (ours): the initial value of a learned bias on attention between the sides, in all layers but the last, see
      `heads/_gates.py`. None, as published: no bias.
    - `residual`: with `cosine` (ours), a learned multiple, 10 at first, of the cosine of both sides' vectors is added.
    Reads token ids at L = 0, states at L > 0, and both if the compressor takes side information.
    Cost per candidate: (T - L)·(12·(q+m)·h² + 2·(q+m)²·h) multiply-adds, the last layer 2·(q+m)·h² with `cls`.
    """

    needs_classifier = True  # with readout `cls`

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        compressor: Compressor | None = None,
        *,
        readout: Readout = "cls",
        gate: float | None = None,
        residual: Residual = "none",
    ) -> None:
        super().__init__(backbone, compressor)
        self.method = method
        check_choice("readout", readout, Readout)
        check_choice("residual", residual, Residual)
        self.needs_classifier = readout == "cls"
        self.matches = None if self.needs_classifier else Matches(backbone.width, calibrated=readout == "calibrated_matches")
        _check(backbone, method, compressor, self.needs_classifier)
        self.gates = None if gate is None else Gates(len(backbone.layers), gate)
        self.log_residual = None if residual == "none" else nn.Parameter(torch.tensor(math.log(10.0)))

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        vector = () if self.log_residual is None else ("vector",)
        return (*self._joins, *vector)

    @property
    def _joins(self) -> tuple[str, ...]:
        """The stored arrays that document rows are made from."""
        if not self.method.depth:
            return ("token_ids",)
        return ("states", "token_ids") if self._needs_side else ("states",)

    @property
    def _needs_side(self) -> bool:
        return self.compressor is not None and self.compressor.needs_side

    def score(self, query: Query, docs: Candidates, watch: Watch | None = None) -> Tensor:
        """Return the scores [n] float32 of n candidates; with `watch`, every layer computes all joint rows."""
        scores = self._read(self._run(query, docs, watch), query)
        return scores if self.log_residual is None else scores + self._cosine_term(query, docs)

    def _cosine_term(self, query: Query, docs: Candidates) -> Tensor:
        assert self.log_residual is not None
        return self.log_residual.float().exp() * cosine(query, docs)

    def _read(self, rows: TokenStates, query: Query) -> Tensor:
        """Read the scores off the last joint rows: [n] float32."""
        if self.matches is None:
            return self.classify(rows.states, rows.mask)
        scores: Tensor = self.matches(*split_rows(rows, query.text_mask))
        return scores

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate, with readout `matches`: matches of the last joint rows, parts as there."""
        if self.matches is None:
            raise self._cannot_explain()
        shares = self.matches.explain(*split_rows(self._run(query, docs), query.text_mask))
        if self.log_residual is None:
            return shares
        return shares + TokenShares((), {"cosine": float(self._cosine_term(query, docs))})

    def cls(self, query: Query, docs: Candidates) -> Tensor:
        """Return the last CLS rows [n, h] of n candidates, which a classifier that reads CLS alone maps to a logit."""
        return self._run(query, docs).states[:, 0]

    def classify(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits [n] float32 of last states [n, t, h]; t may be 1 if the classifier reads CLS alone."""
        logits = self.backbone.classify(states, mask).float()
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]

    def trace(self, query: Query, docs: Candidates, *, compressed: bool = True) -> list[TokenStates]:
        """Return the joint rows before each layer from L on, and after the last: T - L + 1 of them.

        `compressed=False`: `docs.states` are states, and both sides bypass the compressor.
        """
        seen: list[TokenStates] = []
        self._run(query, docs, lambda _, rows: seen.append(rows), compressed)
        return seen

    def _run(self, query: Query, docs: Candidates, watch: Watch | None = None, compressed: bool = True) -> TokenStates:
        """Run the layers; return the last rows: only CLS if nothing else is read and at least one layer runs."""
        rows, q = self._joined(query, docs, compressed), query.rows.states.shape[1]
        backbone, start = self.backbone, self.method.depth
        stop = len(backbone.layers)
        cls_only = watch is None and self.matches is None and backbone.reads_cls_only and start < stop
        for number in range(start, stop):
            rows = rows if self.gates is None else self.gates.between(number, rows, q)
            if watch is not None:
                watch(number, rows)
            last = rows.first() if cls_only and number == stop - 1 else rows
            rows = last.with_states(backbone.layers[number](last, rows))
        if watch is not None:
            watch(stop, rows)
        return rows if start == stop else rows.with_states(backbone.final(rows.states))

    def _joined(self, query: Query, docs: Candidates, compressed: bool) -> TokenStates:
        """Put the query's rows before each document's; a compressor of both sides also compresses and expands the query's."""
        compressor = self.compressor if compressed else None
        rows = query.rows
        if compressor is not None and compressor.both_sides:
            rows = rows.with_states(compressor.expand(compressor.compress(rows.states)))
        return join(rows, self._document_rows(query, docs, compressor))

    def _document_rows(self, query: Query, docs: Candidates, compressor: Compressor | None) -> TokenStates:
        """Turn stored arrays into rows [n, m, h]: embedded token ids at L = 0, else states, expanded if they are codes."""
        for name in self._joins:
            if getattr(docs, name) is None:
                raise InputError(f"head 'joint_layers' reads {name!r}, which these candidates do not hold")
        stored: Any = docs.states if self.method.depth else docs.token_ids
        n, m = stored.shape[:2]
        start = document_start(self.method.document, self.method.query, query.rows.states.shape[1])
        positions = (torch.arange(m, device=stored.device) + start).expand(n, m)
        side = self._embedded(docs.token_ids, positions) if docs.token_ids is not None and "token_ids" in self._joins else None
        if side is not None and not self.method.depth:
            return TokenStates(side, positions, docs.mask)
        return TokenStates(stored if compressor is None else compressor.expand(stored, side), positions, docs.mask)

    def _embedded(self, ids: Tensor, positions: Tensor) -> Tensor:
        """Embed document tokens [n, m]: the same numbers as offline."""
        segments = torch.full_like(ids, self.method.document.segment or 0)
        return self.backbone.embed(ids, segments, positions)


def _check(backbone: Backbone, method: Method, compressor: Compressor | None, classifies: bool) -> None:
    """Refuse settings that do not fit together. Raises: InputError; ModelError for a classifier that gives no score."""
    check_expands(compressor, "joint_layers")
    if compressor is not None and not method.depth:
        raise InputError(
            f"method {method.name!r} stores token ids at L = 0, which no compressor takes; leave the compressor out, or L > 0"
        )
    if method.document.positions == "follow" and method.depth and not backbone.rotary:
        raise InputError(
            f"method {method.name!r}: document positions 'follow' the query, so states after layer {method.depth} "
            "cannot be stored for this encoder; use 'offset' or 'restart'"
        )
    labels = int(backbone.config.num_labels)
    if classifies and labels > 2:
        raise ModelError(f"a classifier with {labels} labels gives no score; expected 1 or 2")


PART = JointLayers
