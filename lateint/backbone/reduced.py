"""Layers in bfloat16 or int8, for processors that multiply such numbers faster than float32.

Only the linear maps change. States between layers, their sums and norms stay in float32, and no row depends on another: a
text has the same states alone and in a batch. The maps are copies: whoever keeps a reduced encoder makes it again once
the weights of the original have changed.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, FusedSlice, Layer
from lateint.errors import InputError

Precision = Literal["float32", "bfloat16", "int8"]
"""What the linear maps of layers compute in."""
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
_LEAST_WIDTH = 256  # narrower maps are no faster: converting the states costs as much as it saves
_UNITS = {"bfloat16": ("amx_bf16",), "int8": ("avx512_vnni", "avx_vnni", "amx_int8")}  # one of these
Half = TypeVar("Half", Attention, FeedForward)
_SMALLEST = 1e-30  # of the steps of a row of states: a row of zeros stays zero


@cache
def has_units(precision: Precision) -> bool:
    """True if this processor multiplies faster in a precision than in float32."""
    has: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch do not say
    return any(has.get(unit) for unit in _UNITS.get(precision, ()))


def fastest(width: int) -> Precision:
    """Return the precision for the layers of an encoder of width h on this processor: bfloat16 if it is faster, or float32.

    Never int8: it gains as much, and changes scores more.
    """
    return "bfloat16" if width >= _LEAST_WIDTH and has_units("bfloat16") else "float32"


def resolve_precision(wanted: str | None, dtype: torch.dtype, device: str | None) -> Precision | Literal["auto"]:
    """Return the precision to use on this machine, with a warning if it lacks what was asked for; None means "auto".

    Raises: InputError for another name, and for a precision that weights of this dtype, or on this device, do not have.
    """
    if wanted is None or wanted == "auto":
        return "auto"
    found: Precision | None = next((precision for precision in PRECISIONS if precision == wanted), None)
    if found is None:
        raise InputError(f"precision {wanted!r}; expected one of auto, {', '.join(PRECISIONS)}")
    if found == "float32":
        return found
    if dtype != torch.float32:
        kind = str(dtype).removeprefix("torch.")
        raise InputError(f"precision={wanted!r} with dtype={kind!r}; expected float32 weights, which it copies")
    if device is not None and torch.device(device).type != "cpu":
        raise InputError(f"precision={wanted!r} on {device}; expected the cpu; elsewhere use dtype='bfloat16'")
    if not has_units(found):
        units = " or ".join(_UNITS[found])
        warnings.warn(f"this processor has no {units} for {wanted}; the layers run in float32", stacklevel=3)
        return "float32"
    return found


class Bfloat16Linear(nn.Module):
    """A linear map in bfloat16, summed in float32. Relative error of each weight and state: 2^-9."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = nn.Buffer(weight.bfloat16(), persistent=False)
        self.bias = None if bias is None else nn.Buffer(bias.bfloat16(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map states [..., i] of any float type to bfloat16 [..., o]."""
        return F.linear(x.bfloat16(), self.weight, self.bias)


class Int8Linear(nn.Module):
    """A linear map with int8 weights, a step per output, and int8 states, a step per row.

    Error of each weight and state: half a step, 1/254 of the largest in its row.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        codes, steps = _int8(weight.float())
        self.codes = nn.Buffer(codes.t(), persistent=False)
        self.steps = nn.Buffer(steps[:, 0], persistent=False)
        self.bias = None if bias is None else nn.Buffer(bias.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map states [..., i] to float32 [..., o]."""
        codes, steps = _int8(x.reshape(-1, x.shape[-1]).float())
        out = torch._int_mm(codes, self.codes).float() * steps * self.steps  # pyright: ignore[reportPrivateImportUsage]
        return (out if self.bias is None else out + self.bias).view(*x.shape[:-1], -1)


def _int8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Round rows [n, i] to int8 codes and steps float32 [n, 1]. Rows that are not finite get steps that are not."""
    steps = rows.abs().amax(dim=-1, keepdim=True).clamp_min(127 * _SMALLEST) / 127
    return (rows / steps).round().to(torch.int8), steps


_MAPS: dict[Precision, type[Bfloat16Linear] | type[Int8Linear]] = {"bfloat16": Bfloat16Linear, "int8": Int8Linear}


def reduced(backbone: Backbone, precision: Precision, depth: int) -> Backbone:
    """Return an encoder whose first `depth` layers compute in a precision; it shares everything else.

    Queries, keys and values of a layer are one map. A layer with a map that is neither linear nor a slice of a linear one, or
    that has hooks, stays as it is.
    Cost: 12·h² numbers of memory per layer.
    """
    if precision == "float32":
        return backbone
    other = copy.copy(backbone)
    with torch.inference_mode(mode=False), torch.no_grad():  # tensors made in inference mode could not be used outside
        other.layers = (*(_reduced(layer, precision) for layer in backbone.layers[:depth]), *backbone.layers[depth:])
    return other


def _reduced(layer: Layer, precision: Precision) -> Layer:
    attention, feed_forward = layer.attention, layer.feed_forward
    wanted = attention.query, attention.key, attention.value, attention.output, feed_forward.up, feed_forward.down
    maps = [each for each in wanted if isinstance(each, nn.Linear | FusedSlice) and _is_plain(each)]
    if len(maps) < len(wanted) or len({each.bias is None for each in maps[:3]}) > 1:
        return layer
    make = _MAPS[precision]
    together = make(torch.cat([each.weight for each in maps[:3]]), _joined([each.bias for each in maps[:3]]))
    output, up, down = (make(each.weight, each.bias) for each in maps[3:])
    own = _with(attention, {"together": together, "output": output})
    return Layer(own, _with(feed_forward, {"up": up, "down": down})).eval()


def _joined(biases: Sequence[Tensor | None]) -> Tensor | None:
    given = [bias for bias in biases if bias is not None]
    return torch.cat(given) if len(given) == len(biases) else None


def _is_plain(module: nn.Linear | FusedSlice) -> bool:
    """True for a linear map that does nothing else: no subclass, such as one with a parametrization, and no hooks."""
    return type(module) in (nn.Linear, FusedSlice) and not module._forward_hooks and not module._forward_pre_hooks


def _with(half: Half, parts: Mapping[str, nn.Module]) -> Half:
    other = copy.copy(half)
    other._modules = {**half._modules, **parts}
    return other
