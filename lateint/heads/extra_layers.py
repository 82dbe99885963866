"""More layers over both sides, after all T layers of each alone: DC-BERT."""

from __future__ import annotations

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone, check_positions
from lateint.backbone.layer import TokenStates
from lateint.backbone.split import join
from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.heads._matches import Matches, linear_readout, split_rows
from lateint.heads._validation import check_choice, check_expands, require_states
from lateint.heads.base import Head, TokenShares
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method

Readout = Literal["both_cls", "matches"]


class ExtraLayers(Head):
    """Adds positions and segments to the joint rows again, runs `layers` more layers, and maps both CLS rows to a score.

    Joint positions run from 0 to q + m - 1; the query is segment 0 and the document segment 1. Position and segment
    embeddings start as copies of the backbone's, the layers as copies of its last ones. Embeddings that a family
    lacks are not added: RoBERTa and DistilBERT tell the sides apart by position alone; rotary layers rotate queries and
    keys by the joint positions, which adds positions again. `readout`: `both_cls`, as published, or (ours) `matches`, the
    max similarities of all joint rows, see `heads/_matches.py`.
    Source: arXiv:2002.12591, Sec. 2; adding without another norm is ours.
    Cost per candidate: layers·(12·(q+m)·h² + 2·(q+m)²·h) multiply-adds, the last layer 2·(q+m)·h².
    """

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        compressor: Compressor | None = None,
        *,
        layers: int = 1,
        readout: Readout = "both_cls",
    ) -> None:
        super().__init__(backbone, compressor)
        check_choice("readout", readout, Readout)
        check_expands(compressor, "extra_layers")
        total = len(backbone.layers)
        if isinstance(layers, bool) or not isinstance(layers, int) or not 1 <= layers <= total:
            raise InputError(f"extra_layers: layers={layers!r}; expected 1..{total}, copies of the backbone's last layers")
        if not backbone.rotary:
            check_positions(backbone, "document", method.query.max_length + method.document.max_length)
        self.positions, self.segments = _copy(backbone.position_table()), _copy(backbone.segment_table())
        self.layers = nn.ModuleList(copy.deepcopy(layer) for layer in backbone.layers[total - layers :])
        self.matches = Matches(backbone.width) if readout == "matches" else None
        self.readout: Any = linear_readout(2 * backbone.width) if self.matches is None else None

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        return ("states",)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Return the scores [n] float32 of n candidates."""
        rows = self._below_last(query, docs)
        if self.matches is not None:
            matched: Tensor = self.matches(*split_rows(self._last(rows), query.text_mask))
            return matched
        both = [0, query.rows.states.shape[1]]  # the CLS of the query and the first row of the document, its CLS
        ends = TokenStates(rows.states[:, both], rows.positions[:, both], None)
        states = self.backbone.final(self.layers[-1](ends, rows))
        scores: Tensor = self.readout(states.flatten(1))[:, 0]
        return scores.float()

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate, with readout `matches`: matches of the last joint rows, parts as there."""
        if self.matches is None:
            raise self._cannot_explain()
        return self.matches.explain(*split_rows(self._last(self._below_last(query, docs)), query.text_mask))

    def _below_last(self, query: Query, docs: Candidates) -> TokenStates:
        rows = self._joined(query, docs)
        for layer in self.layers[:-1]:
            rows = rows.with_states(layer(rows))
        return rows

    def _last(self, rows: TokenStates) -> TokenStates:
        """Run the last layer over all rows."""
        return rows.with_states(self.backbone.final(self.layers[-1](rows)))

    def _joined(self, query: Query, docs: Candidates) -> TokenStates:
        """Concatenate both sides, with positions and segments added."""
        stored, q = require_states(docs, "extra_layers"), query.rows.states.shape[1]
        states = stored if self.compressor is None else self.compressor.expand(stored)
        n, m = states.shape[:2]
        document = TokenStates(states, torch.arange(q, q + m, device=states.device).expand(n, m), docs.mask)
        rows = join(query.rows, document)
        joint = rows.states
        if self.positions is not None:
            joint = joint + self.positions[: q + m]
        if self.segments is not None:
            joint = joint + self.segments[(rows.positions[0] >= q).long()]
        return rows.with_states(joint)


def _copy(table: Tensor | None) -> nn.Parameter | None:
    return None if table is None else nn.Parameter(table.detach().clone())


PART = ExtraLayers
