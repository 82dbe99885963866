"""The remaining layers L..T over query and document together: PreTTR, DeFormer, SDR, and with L = 0 any cross-encoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import TokenStates
from lateint.backbone.split import document_start, join
from lateint.errors import InputError, ModelError
from lateint.heads._gates import Gates
from lateint.heads._matches import Matches
from lateint.heads._validation import check_choice, check_expands
from lateint.heads.cosine import cosine
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method

Readout = Literal["cls", "matches", "calibrated_matches"]
Residual = Literal["none", "cosine"]
Watch = Callable[[int, TokenStates], None]
"""Given the number of a layer and the joint rows before it; T with the rows after the last."""


class JointLayers(nn.Module):
    """Full attention over q + m tokens, then a readout.

    Settings: `readout`, `cls`: the checkpoint's classifier, as published, the last layer for the CLS row alone where it
    reads only that; `matches`, ours: means and best matches of all joint rows, see `heads/_matches.py`, no classifier;
    `calibrated_matches`: the same as a logit, for labels that are judged pair by pair. `gate`, ours: a learned bias on
    attention between the sides, this much at first but for the last layer, see `heads/_gates.py`; None, as published: none.
    `residual`: with `cosine` (ours) a learned multiple, 10 at first, of the cosine of both sides' vectors is added.
    Reads token ids at L = 0, states at L > 0, and both where the compressor takes side information.
    Cost a candidate: (T - L)·(12·(q+m)·h² + 2·(q+m)²·h) multiply-adds, the last layer 2·(q+m)·h² with `cls`.
    """

    needs_classifier = True  # with readout `cls`

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        compressor: Any = None,
        *,
        readout: Readout = "cls",
        gate: float | None = None,
        residual: Residual = "none",
    ) -> None:
        super().__init__()
        self.backbone = (backbone,)  # in a tuple: its weights belong to the model
        self.compressor = (compressor,)
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
        """Stored arrays that scoring needs."""
        vector = () if self.log_residual is None else ("vector",)
        return (*self._joins, *vector)

    @property
    def _joins(self) -> tuple[str, ...]:
        """Stored arrays that document rows are made of."""
        if not self.method.depth:
            return ("token_ids",)
        return ("states", "token_ids") if self._needs_side else ("states",)

    @property
    def _needs_side(self) -> bool:
        return self.compressor[0] is not None and bool(self.compressor[0].needs_side)

    def score(self, query: Query, docs: Candidates, watch: Watch | None = None) -> Tensor:
        """Scores [n] float32 of n candidates; `watch` sees the joint rows layer by layer, and then no layer is cut short."""
        scores = self._read(self._run(query, docs, watch), query)
        return scores if self.log_residual is None else scores + self.log_residual.float().exp() * cosine(query, docs)

    def _read(self, rows: TokenStates, query: Query) -> Tensor:
        """What the last joint rows say: [n] float32."""
        if self.matches is None:
            return self.classify(rows.states, rows.mask)
        q = query.rows.states.shape[1]
        mask = None if rows.mask is None else rows.mask[:, q:]
        scores: Tensor = self.matches(rows.states[:, :q], query.text_mask, rows.states[:, q:], mask)
        return scores

    def cls(self, query: Query, docs: Candidates) -> Tensor:
        """Last CLS rows [n, h] of n candidates: what a classifier that reads the CLS alone makes its logit from."""
        return self._run(query, docs).states[:, 0]

    def classify(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Logits [n] float32 of last states [n, t, h]; t may be 1 where the classifier reads the CLS alone."""
        logits = self.backbone[0].classify(states, mask).float()
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]

    def trace(self, query: Query, docs: Candidates, *, compressed: bool = True) -> list[TokenStates]:
        """The joint rows before each layer from L on, and after the last: T - L + 1 of them.

        Not `compressed`: `docs.states` are states themselves, and both sides pass the compressor by.
        """
        seen: list[TokenStates] = []
        self._run(query, docs, lambda _, rows: seen.append(rows), compressed)
        return seen

    def _run(self, query: Query, docs: Candidates, watch: Watch | None = None, compressed: bool = True) -> TokenStates:
        """The last layer's rows, of the CLS alone where nothing else is read and a layer is left to save on."""
        rows, q = self._joined(query, docs, compressed), query.rows.states.shape[1]
        backbone, start = self.backbone[0], self.method.depth
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
        """The query's rows before each document's: both through the compressor and back, where it is for both sides."""
        compressor: Any = self.compressor[0] if compressed else None
        rows = query.rows
        if getattr(compressor, "both_sides", False):
            rows = rows.with_states(compressor.expand(compressor.compress(rows.states)))
        return join(rows, self._document_rows(query, docs, compressor))

    def _document_rows(self, query: Query, docs: Candidates, compressor: Any) -> TokenStates:
        """Stored arrays as rows [n, m, h]: embedded token ids at L = 0, else states, expanded if they are codes."""
        for name in self._joins:
            if getattr(docs, name) is None:
                raise InputError(f"head 'joint_layers' reads {name!r}, which these candidates do not hold")
        stored: Any = docs.states if self.method.depth else docs.token_ids
        n, m = stored.shape[:2]
        start = document_start(self.method.document, self.method.query, query.rows.states.shape[1])
        positions = (torch.arange(m, device=stored.device) + start).expand(n, m)
        side = self._embedded(docs.token_ids, positions) if "token_ids" in self._joins else None
        if side is not None and not self.method.depth:
            return TokenStates(side, positions, docs.mask)
        return TokenStates(stored if compressor is None else compressor.expand(stored, side), positions, docs.mask)

    def _embedded(self, ids: Any, positions: Tensor) -> Tensor:
        """What the embedding layer gives for document tokens [n, m]: the same offline and here."""
        segments = torch.full_like(ids, self.method.document.segment or 0)
        return self.backbone[0].embed(ids, segments, positions)


def _check(backbone: Backbone, method: Method, compressor: Any, classifies: bool) -> None:
    """Refuse what does not fit together. Raises: InputError, ModelError for a classifier that gives no score."""
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
