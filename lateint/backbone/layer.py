"""A transformer layer as attention and feed-forward, with the same names in every family.

The linear maps are the modules of the checkpoint, shared and not copied: training one trains the other. Attention takes the
rows to update and the context that they attend to as separate arguments. One code path therefore serves ordinary layers
(rows = context), a last layer for the CLS row only, and cross-attention to frozen documents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Rotary = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps positions [n, t] to tables of cosines and sines [n, t, h / heads]."""


@dataclass(frozen=True, slots=True)
class TokenStates:
    """Token states with their positions, mask and attention bias.

    states [n, t, h] float; positions [n, t] int64; mask [n, t] bool, True for real tokens and False for padding, None if all
    tokens are real; bias [t, t] float, added to the attention logit of row i for token j, None for no bias.
    """

    states: Tensor
    positions: Tensor
    mask: Tensor | None = None
    bias: Tensor | None = None

    def first(self) -> TokenStates:
        """Return the first row of each text (CLS)."""
        return TokenStates(self.states[:, :1], self.positions[:, :1], None, None if self.bias is None else self.bias[:1])

    def with_states(self, states: Tensor) -> TokenStates:
        """Return a copy with other states."""
        return TokenStates(states, self.positions, self.mask, self.bias)

    def expand(self, n: int) -> TokenStates:
        """Repeat a batch of one text n times, as views without copies; the bias is dropped."""
        mask = None if self.mask is None else self.mask.expand(n, -1)
        return TokenStates(self.states.expand(n, -1, -1), self.positions.expand(n, -1), mask)


class FusedSlice(nn.Module):
    """The query, key or value map of a fused query-key-value map. It shares the fused weights."""

    def __init__(self, fused: nn.Linear, index: int) -> None:
        super().__init__()
        self.fused, self.index = fused, index

    @property
    def weight(self) -> Tensor:
        """The weights of this map [h, h], a view."""
        return self.fused.weight.chunk(3)[self.index]

    @property
    def bias(self) -> Tensor | None:
        """The bias of this map [h], a view; None if the fused map has none."""
        return None if self.fused.bias is None else self.fused.bias.chunk(3)[self.index]

    def forward(self, x: Tensor) -> Tensor:
        """Map states [..., h] to queries, keys or values [..., h]."""
        return F.linear(x, self.weight, self.bias)


class Attention(nn.Module):
    """Multi-head attention of rows to a context, with residual and norm.

    Post-norm: norm(x + out(attend(x))). Pre-norm: x + out(attend(norm(x))), with the same norm applied to the context.
    """

    together: nn.Module | None  # queries, keys and values of rows that attend to themselves, in one map

    def __init__(self, query: nn.Module, key: nn.Module, value: nn.Module, output: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output, self.norm = query, key, value, output, norm
        self.register_module("together", None)
        self.heads = 1
        self.pre_norm = False
        self.rotary: Rotary | None = None
        self.window: int | None = None  # rows attend to tokens at most this many positions away; None: no limit
        self.cached = False  # True: contexts are passed as `keys_values`, not as states
        self.dropout = 0.0

    def forward(self, rows: TokenStates, context: TokenStates) -> Tensor:
        """Attend to the context and return the updated rows [n, t, h]. Cost: 2·t·h² + 2·m·h² + 2·t·m·h per text."""
        q, k, v = self._projected(rows, context)
        mask = _biased(_visible(rows, context, self.window), rows.bias, q)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=self.dropout if self.training else 0.0)
        return self.updated(rows.states, attended)

    def updated(self, x: Tensor, attended: Tensor) -> Tensor:
        """Apply the output map, residual and norm: [n, t, h]. Cost: t·h² per text.

        Args: `x` states [n or 1, t, h]; `attended` [n, heads, t, h / heads], the weighted values of each head.
        """
        out = F.dropout(self.output(attended.transpose(1, 2).flatten(2)), self.dropout, self.training)
        states: Tensor = x + out if self.pre_norm else self.norm(out + x)
        return states

    def probabilities(self, rows: TokenStates, context: TokenStates) -> Tensor:
        """Return the attention weights of each row over the context: [n, heads, t, m], without dropout.

        Each row sums to 1; masked tokens have weight 0. Cost: t·h² + m·h² + t·m·h per text, memory for n·heads·t·m numbers.
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
        """Return queries [n, heads, t, h / heads], keys and values [n, heads, m, h / heads], rotated if rotary."""
        x, y = rows.states, context.states
        own = self.norm(x) if self.pre_norm else x
        if self.together is not None and y is x:
            queries, keys, values = self.together(own).chunk(3, dim=-1)
        elif self.cached:
            queries, (keys, values) = self.query(own), y.chunk(2, dim=-1)
        else:
            other = own if y is x else (self.norm(y) if self.pre_norm else y)
            queries, keys, values = self.query(own), self.key(other), self.value(other)
        q, k, v = self.per_head(queries), self.per_head(keys), self.per_head(values)
        if self.rotary is not None:
            q, k = _rotate(q, *self.rotary(rows.positions)), _rotate(k, *self.rotary(context.positions))
        return q, k, v

    def keys_values(self, context: Tensor) -> Tensor:
        """Return the keys and values of a context [n, m, h], concatenated: [n, m, 2h]. They do not depend on the rows.

        Rotary positions are not applied. Cost: 2·m·h² per text.
        """
        states = self.norm(context) if self.pre_norm else context
        return torch.cat([self.key(states), self.value(states)], dim=-1)

    def per_head(self, x: Tensor) -> Tensor:
        """Split [n, t, h] into attention heads: [n, heads, t, h / heads]."""
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)


def _visible(rows: TokenStates, context: TokenStates, window: int | None) -> Tensor | None:
    """Return which context tokens each row may attend to: bool [n, 1, t, m], or None if all rows attend to all tokens."""
    real = None if context.mask is None else context.mask[:, None, None, :]
    if window is None:
        return real
    distance = (rows.positions[:, :, None] - context.positions[:, None, :]).abs()[:, None]
    near = distance <= window
    seen = near if real is None else near & real
    # A row with no real token in its window, such as some padding, attends to all real tokens: otherwise it becomes NaN.
    blind = ~seen.any(dim=-1, keepdim=True)
    return seen | (blind if real is None else blind & real)


def _biased(visible: Tensor | None, bias: Tensor | None, like: Tensor) -> Tensor | None:
    """Combine mask and bias for fused attention: bool without a bias, else logits to add in the dtype of `like`."""
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
    """The feed-forward half of a layer, with residual and norm; gated (GLU) in some families."""

    def __init__(self, up: nn.Module, down: nn.Module, norm: nn.Module, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.up, self.down, self.norm, self.activation = up, down, norm, activation
        self.pre_norm = False
        self.gated = False
        self.dropout = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Map states [n, t, h] to states [n, t, h]. Cost: 8·t·h² per text for an inner width of 4h."""
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
        """Return the states of the rows after the layer. Without a context, rows attend to each other."""
        states: Tensor = self.feed_forward(self.attention(rows, rows if context is None else context))
        return states
