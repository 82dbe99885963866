"""A small transformer over the first outputs of both towers: DiPair."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, Layer, TokenStates
from lateint.backbone.split import join
from lateint.compressors.base import Compressor
from lateint.errors import InputError
from lateint.heads._matches import Matches, split_rows
from lateint.heads._validation import check_choice, require_states
from lateint.heads.base import Head, TokenShares
from lateint.heads.inputs import Candidates, Query
from lateint.methods.method import Method

Readout = Literal["first", "matches"]
_MOST_LAYERS = 100  # more would take memory before a checkpoint is compared with its file


class SmallTransformer(Head):
    """Runs `layers` layers of a small width c over the first `query_tokens` and `document_tokens` output rows.

    The method's compressor maps both sides to c (without one, c = h). Learned positions, counted from 0 on each side, and
    segments are added; the score is a linear map of the query's first row. Layers are post-norm with `heads` attention
    heads and an inner width of 4c. Later rows are never read on either side, so a `Query` can cache a query as a store caches
    documents. `readout`: `first`, that row, or (ours) `matches`, the max similarities of all rows after the
    layers, see `heads/_matches.py`; fresh layers then change little, so the initial score is near a sum of maxima.
    Source: arXiv:2010.03099, Sec. 3 (its TSF head); widths, depth and counts are settings, because the paper's are not known.
    Cost per candidate: layers·(12·t·c² + 2·t²·c) multiply-adds for t rows of both sides, the last layer 2·t·c².
    """

    def __init__(
        self,
        backbone: Backbone,
        method: Method,
        compressor: Compressor | None = None,
        *,
        query_tokens: int = 8,
        document_tokens: int = 16,
        layers: int = 2,
        heads: int = 4,
        readout: Readout = "first",
    ) -> None:
        super().__init__(backbone, compressor)
        check_choice("readout", readout, Readout)
        width = backbone.width if compressor is None else compressor.width
        self.kept = query_tokens, document_tokens
        _check(method, self.kept, layers, (width, heads))
        self.positions = nn.Parameter(0.02 * torch.randn(max(self.kept), width))
        self.segments = nn.Parameter(0.02 * torch.randn(2, width))
        self.layers = nn.ModuleList(fresh_layer(width, heads) for _ in range(layers))
        self.matches = Matches(width) if readout == "matches" else None
        self.readout: Any = nn.Linear(width, 1) if self.matches is None else None
        if self.matches is not None:
            for layer in self.layers:
                _quieten(layer)

    @property
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs."""
        return ("states",)

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Return the scores [n] float32 of n candidates."""
        if self.matches is None:
            scores: Tensor = self.readout(self.interact(query, docs))[:, 0]
            return scores.float()
        matched: Tensor = self.matches(*split_rows(self._all(query, docs), query.text_mask[: self.kept[0]]))
        return matched

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate, with readout `matches`: matches of the rows after all layers, parts as there."""
        if self.matches is None:
            raise self._cannot_explain()
        return self.matches.explain(*split_rows(self._all(query, docs), query.text_mask[: self.kept[0]]))

    def _all(self, query: Query, docs: Candidates) -> TokenStates:
        """Return all joint rows after all layers."""
        rows = self._joined(query, docs)
        for layer in self.layers:
            rows = rows.with_states(layer(rows))
        return rows

    def interact(self, query: Query, docs: Candidates) -> Tensor:
        """Return the query's first row after all layers, [n, c], for n candidates."""
        return self._first(self._joined(query, docs))

    def _joined(self, query: Query, docs: Candidates) -> TokenStates:
        states, compressor, (n_query, n_document) = require_states(docs, "small_transformer"), self.compressor, self.kept
        ours = query.rows.states[:, :n_query]
        mask = None if docs.mask is None else docs.mask[:, :n_document]
        return join(
            self._side(ours if compressor is None else compressor.compress(ours), 0, None),
            self._side(states[:, :n_document], 1, mask),
        )

    def _first(self, rows: TokenStates) -> Tensor:
        for layer in self.layers[:-1]:
            rows = rows.with_states(layer(rows))
        last: Tensor = self.layers[-1](rows.first(), rows)
        return last[:, 0]

    def _side(self, rows: Tensor, segment: int, mask: Tensor | None) -> TokenStates:
        n, t = rows.shape[:2]
        places = torch.arange(t, device=rows.device).expand(n, t)
        return TokenStates(rows + self.positions[:t] + self.segments[segment], places, mask)


def _quieten(layer: Any) -> None:
    """Start a fresh layer near the identity: scale what attention and feed-forward add by a tenth."""
    with torch.no_grad():
        for linear in (layer.attention.output, layer.feed_forward.down):
            linear.weight.mul_(0.1)
            linear.bias.zero_()


def fresh_layer(width: int, heads: int) -> Layer:
    """Build a post-norm layer with an inner width of 4·width, from torch's generator."""
    query, key, value, output = (nn.Linear(width, width) for _ in range(4))
    attention = Attention(query, key, value, output, nn.LayerNorm(width))
    attention.heads = heads
    feed_forward = FeedForward(nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.LayerNorm(width), F.gelu)
    return Layer(attention, feed_forward)


def _check(method: Method, kept: tuple[int, int], layers: int, shape: tuple[int, int]) -> None:
    """Check that the settings fit the method and each other. Raises: InputError."""
    width, heads = shape
    for name, value in (("query_tokens", kept[0]), ("document_tokens", kept[1]), ("layers", layers), ("heads", heads)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(f"small_transformer: {name}={value!r}; expected a whole number from 1 on")
    if layers > _MOST_LAYERS:
        raise InputError(f"small_transformer: {layers} layers; expected 1 to {_MOST_LAYERS}")
    for name, value, layout in zip(("query_tokens", "document_tokens"), kept, (method.query, method.document), strict=True):
        if value > layout.max_length:
            raise InputError(f"small_transformer: {name}={value}; expected 1..{layout.max_length}, that side's max_length")
    if width % heads:
        raise InputError(f"small_transformer: width {width} is not divisible by heads={heads}; choose a divisor")


PART = SmallTransformer
