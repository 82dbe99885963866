"""Absorbed attention: rows attend to the codes of a document, and no code is expanded or projected.

Keys and values are linear maps of states, and states are linear maps of codes, so both are linear maps M of codes. A linear
map can be moved: q·(M z) = (Mᵀ q)·z, and Σ α_t M z_t = M Σ α_t z_t. So maps are applied to queries and sums, which are
few, and never to the m codes of a document. The algebra is exact; a rotation and a LayerNorm between code and state fold too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.layer import Attention, TokenStates
from lateint.errors import InputError


@dataclass(frozen=True, slots=True)
class Expansion:
    """How a code y = R z expands to a state: x = W z + b, followed by LayerNorm if there is one.

    up: W [h, c], None for the identity; bias: b [h]; rotation: R [c, c], orthogonal.
    """

    up: Tensor | None = None
    bias: Tensor | None = None
    rotation: Tensor | None = None
    norm: nn.LayerNorm | None = None


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes [n, m, c] of n documents; mask [n, m] bool, True where a token is real, None if all are.

    scale [n, m]: the factor of a quantised code. inverse_std [n, m]: 1/σ over the h numbers of x before its norm, σ² with
    the norm's epsilon; it has to be stored, because x is never computed.
    """

    values: Tensor
    mask: Tensor | None = None
    scale: Tensor | None = None
    inverse_std: Tensor | None = None

    @property
    def factor(self) -> Tensor | None:
        """The product of both factors of each code, [n, m]; None for 1."""
        if self.scale is None or self.inverse_std is None:
            return self.inverse_std if self.scale is None else self.scale
        return self.scale * self.inverse_std


@dataclass(frozen=True, slots=True)
class _Map:
    """Keys or values of each attention head as a map of code t: factor_t·(weight y_t) + inverse_std_t·shift + constant.

    weight [heads, h / heads, c]; shift and constant [heads, h / heads], None for zero.
    """

    weight: Tensor
    shift: Tensor | None
    constant: Tensor | None


def absorbed(
    attention: Attention, rows: TokenStates, codes: Codes, expansion: Expansion | None = None, own: TokenStates | None = None
) -> Tensor:
    """Attend from rows, [n, t, h] or [1, t, h] for all documents, to expanded codes: states [n, t, h].

    Equals `attention(rows, context)` with the expanded codes as context. `own` rows [n or 1, q, h] share the softmax; without
    them the bias of keys cancels, and gets no gradient.
    Raises: InputError for an attention that does not fold: rotary, pre-norm, with a window or bias, over cached keys.
    Source: lateint; without norm and scale it is the algebra of multi-head latent attention (arXiv:2405.04434, Sec. 2.1).
    Cost per candidate: 2·t·heads·m·c + 2·t·h·c + t·h² multiply-adds, and 2·t·h·c less, once, for rows [1, t, h].
    """
    how = expansion or Expansion()
    _check(attention, rows, codes, how)
    key, value = _folded(attention.key, attention.heads, how), _folded(attention.value, attention.heads, how)
    q = attention.per_head(attention.query(rows.states))
    q = q / math.sqrt(q.shape[-1])
    logits, m = _logits(key, q, codes), codes.values.shape[1]
    if own is not None:
        logits = torch.cat([logits + _constant(key, q), _own_logits(attention, q, own, len(logits))], dim=-1)
    shares = F.dropout(logits.softmax(dim=-1), attention.dropout, attention.training)
    attended = _sums(value, shares[..., :m], codes)
    if own is not None:
        attended = attended + shares[..., m:] @ attention.per_head(attention.value(own.states))
    return attention.updated(rows.states, attended)


def _folded(linear: Any, heads: int, how: Expansion) -> _Map:
    """Fold linear(x) into a map of codes. Cost: h²·c multiply-adds; none if the map reads codes already."""
    weight: Tensor = linear.weight
    constant, shift = linear.bias, None
    if how.norm is not None:
        constant = constant if how.norm.bias is None else F.linear(how.norm.bias, weight, constant)
        weight = _centred(weight * how.norm.weight)
    if how.bias is not None:
        moved = weight @ how.bias
        if how.norm is not None:
            shift = moved
        else:
            constant = moved if constant is None else moved + constant
    for further in (how.up, None if how.rotation is None else how.rotation.T):
        weight = weight if further is None else weight @ further
    split = (None if vector is None else vector.reshape(heads, -1) for vector in (shift, constant))
    return _Map(weight.reshape(heads, -1, weight.shape[1]), *split)


def _centred(weight: Tensor) -> Tensor:
    """Compose the map [h, h] with centring, as LayerNorm does: W C with C = I - 11ᵀ/h."""
    return weight - weight.mean(dim=1, keepdim=True)


def _logits(key: _Map, q: Tensor, codes: Codes) -> Tensor:
    """Compute logits of q [n or 1, heads, t, h / heads] for each code, without `_constant`: [n, heads, t, m]; padding -inf."""
    u = torch.einsum("bhtd,hdc->bhtc", q, key.weight)
    logits = (u.flatten(1, 2) @ codes.values.mT).view(len(codes.values), *u.shape[1:3], -1)
    if codes.factor is not None:
        logits = logits * codes.factor[:, None, None]
    if key.shift is not None and codes.inverse_std is not None:
        logits = logits + q @ key.shift[..., None] * codes.inverse_std[:, None, None]
    return logits if codes.mask is None else logits.masked_fill(~codes.mask[:, None, None], float("-inf"))


def _constant(key: _Map, q: Tensor) -> Tensor | float:
    """Compute the logit that all codes share, [n or 1, heads, t, 1]: it cancels unless own rows share the softmax."""
    return 0.0 if key.constant is None else q @ key.constant[..., None]


def _own_logits(attention: Attention, q: Tensor, own: TokenStates, n: int) -> Tensor:
    """Compute the logits of rows for the query's own tokens: [n, heads, t, q]."""
    logits = q @ attention.per_head(attention.key(own.states)).mT
    if own.mask is not None:
        logits = logits.masked_fill(~own.mask[:, None, None], float("-inf"))
    return logits.expand(n, -1, -1, -1)


def _sums(value: _Map, shares: Tensor, codes: Codes) -> Tensor:
    """Sum values weighted by shares [n, heads, t, m]: [n, heads, t, h / heads]. Codes are summed first, then mapped."""
    weights = shares if codes.factor is None else shares * codes.factor[:, None, None]
    sums = (weights.flatten(1, 2) @ codes.values).view(*shares.shape[:3], -1)
    attended = torch.einsum("nhtc,hdc->nhtd", sums, value.weight)
    if value.shift is not None and codes.inverse_std is not None:
        attended = attended + (shares * codes.inverse_std[:, None, None]).sum(-1, keepdim=True) * value.shift[:, None]
    if value.constant is not None:  # the document's share of the softmax: below 1 with own rows, or after dropout
        attended = attended + shares.sum(-1, keepdim=True) * value.constant[:, None]
    return attended


def _check(attention: Attention, rows: TokenStates, codes: Codes, how: Expansion) -> None:
    """Refuse an attention that does not fold. Raises: InputError."""
    reasons = {
        "rotary positions turn each key by its place": attention.rotary is not None,
        "it norms its context before projecting it (pre-norm)": attention.pre_norm,
        f"a window of {attention.window} depends on positions": attention.window is not None,
        "its rows have a bias towards tokens of their own": rows.bias is not None,
        "its context is keys and values that are projected already": attention.cached,
        "its keys and values are no linear maps": not all(isinstance(m, nn.Linear) for m in (attention.key, attention.value)),
    }
    for reason, holds in reasons.items():
        if holds:
            raise InputError(f"this attention cannot absorb an expansion: {reason}; expand the codes and attend to states")
    if (how.norm is None) != (codes.inverse_std is None):
        has = "no norm, but codes with" if how.norm is None else "a norm, but codes without"
        raise InputError(f"an expansion with {has} inverse_std; a norm after expansion needs it, and nothing else takes it")
