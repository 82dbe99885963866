"""A transformer layer in two halves, attention and feed-forward, under the same names for every family.

The linear maps are the checkpoint's own modules, shared and not copied: training one trains the other. Keeping the rows
that are updated apart from the context that they attend to gives everything that lateint needs from one code path:
ordinary layers (rows = context), a last layer for the CLS row only, and cross-attention to frozen documents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Rotary = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Positions [n, t] -> cosine and sine tables [n, t, h / heads]."""


@dataclass(frozen=True, slots=True)
class TokenStates:
    """Token states with what travels along with them.

    states [n, t, h] float; positions [n, t] int64; mask [n, t] bool, True where a token is real, None if all are;
    bias [t, t] float, added to what row i's attention thinks of token j before the softmax, None for nothing.
    """

    states: Tensor
    positions: Tensor
    mask: Tensor | None = None
    bias: Tensor | None = None

    def first(self) -> TokenStates:
        """The first row of each text (CLS)."""
        return TokenStates(self.states[:, :1], self.positions[:, :1], None, None if self.bias is None else self.bias[:1])

    def with_states(self, states: Tensor) -> TokenStates:
        """The same rows with other states."""
        return TokenStates(states, self.positions, self.mask, self.bias)

    def expand(self, n: int) -> TokenStates:
        """One text seen n times, without copying."""
        mask = None if self.mask is None else self.mask.expand(n, -1)
        return TokenStates(self.states.expand(n, -1, -1), self.positions.expand(n, -1), mask)


class Attention(nn.Module):
    """Multi-head attention of rows to a context, with residual and norm.

    Post-norm: norm(x + out(attend(x))). Pre-norm: x + out(attend(norm(x))), where the context is normed too.
    """

    def __init__(self, query: nn.Module, key: nn.Module, value: nn.Module, output: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output, self.norm = query, key, value, output, norm
        self.heads = 1
        self.pre_norm = False
        self.rotary: Rotary | None = None
        self.window: int | None = None  # tokens further apart than this do not see each other
        self.cached = False  # a context is given as its `keys_values`, not as states
        self.dropout = 0.0

    def forward(self, rows: TokenStates, context: TokenStates) -> Tensor:
        """States of the rows after attention to the context: [n, t, h]. Cost: 2·t·h² + 2·m·h² + 2·t·m·h."""
        q, k, v = self._projected(rows, context)
        mask = _biased(_visible(rows, context, self.window), rows.bias, q)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0)
        return self.updated(rows.states, attended)

    def updated(self, x: Tensor, attended: Tensor) -> Tensor:
        """States x [n or 1, t, h] with what their heads attended to, [n, heads, t, h / heads]: [n, t, h]. Cost: t·h²."""
        out = F.dropout(self.output(attended.transpose(1, 2).flatten(2)), self.dropout, self.training)
        states: Tensor = x + out if self.pre_norm else self.norm(out + x)
        return states

    def probabilities(self, rows: TokenStates, context: TokenStates) -> Tensor:
        """How each row shares its attention among the context: [n, heads, t, m], masked tokens 0; without dropout.

        Rows add up to 1. Cost: t·h² + m·h² + t·m·h a text, and n·heads·t·m numbers of memory.
        """
        q, k, _ = self._projected(rows, context)
        logits = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        if rows.bias is not None:
            logits = logits + rows.bias
        mask = _visible(rows, context, self.window)
        if mask is not None:
            logits = logits.masked_fill(~mask, float("-inf"))
        return logits.softmax(dim=-1)

    def _projected(self, rows: TokenStates, context: TokenStates) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [n, heads, t, h / heads], keys and values [n, heads, m, h / heads]; positions are in them if rotary."""
        x, y = rows.states, context.states
        own = self.norm(x) if self.pre_norm else x
        if self.cached:
            keys, values = y.chunk(2, dim=-1)
        else:
            other = own if y is x else (self.norm(y) if self.pre_norm else y)
            keys, values = self.key(other), self.value(other)
        q, k, v = self.per_head(self.query(own)), self.per_head(keys), self.per_head(values)
        if self.rotary is not None:
            q, k = _rotate(q, *self.rotary(rows.positions)), _rotate(k, *self.rotary(context.positions))
        return q, k, v

    def keys_values(self, context: Tensor) -> Tensor:
        """What a context [n, m, h] gives to attention whatever the rows are: keys beside values, [n, m, 2h].

        Without rotary positions. Cost: 2·m·h² a text.
        """
        states = self.norm(context) if self.pre_norm else context
        return torch.cat([self.key(states), self.value(states)], dim=-1)

    def per_head(self, x: Tensor) -> Tensor:
        """[n, t, h] -> [n, heads, t, h / heads]."""
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)


def _visible(rows: TokenStates, context: TokenStates, window: int | None) -> Tensor | None:
    """Which row may look at which context token: bool [n, 1, t, m], or None where all may."""
    real = None if context.mask is None else context.mask[:, None, None, :]
    if window is None:
        return real
    apart = (rows.positions[:, :, None] - context.positions[:, None, :]).abs()[:, None]
    near = apart <= window
    seen = near if real is None else near & real
    # A row far from every real token sees them all: a row that sees nothing, as some pads do, would turn into NaN.
    blind = ~seen.any(dim=-1, keepdim=True)
    return seen | (blind if real is None else blind & real)


def _biased(visible: Tensor | None, bias: Tensor | None, like: Tensor) -> Tensor | None:
    """The mask as attention takes it: bool, or in the dtype of `like` what is added, -inf where nothing may be seen."""
    if bias is None:
        return visible
    added = bias.to(like.dtype)[None, None]
    return added if visible is None else added.masked_fill(~visible, float("-inf"))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    cos, sin = cos[:, None], sin[:, None]
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return (x.float() * cos + turned.float() * sin).to(x.dtype)


class FeedForward(nn.Module):
    """The position-wise half of a layer, with residual and norm; gated (GLU) where the family is."""

    def __init__(self, up: nn.Module, down: nn.Module, norm: nn.Module, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.up, self.down, self.norm, self.activation = up, down, norm, activation
        self.pre_norm = False
        self.gated = False
        self.dropout = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """States [n, t, h] -> [n, t, h]. Cost: 8·t·h² for an inner width of 4h."""
        inner = self.up(self.norm(x) if self.pre_norm else x)
        if self.gated:
            value, gate = inner.chunk(2, dim=-1)
            inner = self.activation(value) * gate
        else:
            inner = self.activation(inner)
        out = F.dropout(self.down(inner), self.dropout, self.training) + x
        return out if self.pre_norm else self.norm(out)


class Layer(nn.Module):
    """One transformer layer: attention, then feed-forward."""

    def __init__(self, attention: Attention, feed_forward: FeedForward) -> None:
        super().__init__()
        self.attention, self.feed_forward = attention, feed_forward

    def forward(self, rows: TokenStates, context: TokenStates | None = None) -> Tensor:
        """States of the rows after the layer; the context is the rows themselves unless given."""
        states: Tensor = self.feed_forward(self.attention(rows, rows if context is None else context))
        return states
