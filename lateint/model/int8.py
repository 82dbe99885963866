"""Int8 weights: a large matrix as one code a number and one float32 step a row; all other tensors in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lateint.errors import InputError

CODES, STEP = ".codes", ".step"  # suffixes of the two tensors of a matrix: w = code · step of its row
ENCODER = "encoder."
"""Prefix of the encoder's tensors in an int8 checkpoint, before the names that transformers gives them."""
_DOCUMENT_TOWER, _QUERY_TOWER = "backbone.model.", "query_backbone.model."
_LARGE = 4_096  # matrices of the towers with fewer weights are kept whole
_LARGE_OUTSIDE = 1 << 16  # the same for matrices outside the towers, such as those of a block of the head


def is_large(tensor: Tensor, *, tower: bool) -> bool:
    """True if a tensor of numbers, in a tower or outside the towers, is worth coding."""
    return tensor.is_floating_point() and tensor.dim() >= 2 and tensor.numel() >= (_LARGE if tower else _LARGE_OUTSIDE)


def quantised(name: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return codes [..., n] int8 and steps [...] float32 of rows [..., n] float32; the error is at most half a step.

    A step is 1/127 of the largest number of its row. Coding the decoded rows again gives the same codes and steps, as
    x / 127 · 127 / 127 = x / 127 for every normal float32.
    Raises: InputError, which names the tensor, for numbers that are not finite.
    """
    step = rows.abs().amax(dim=-1, keepdim=True) / 127
    if not step.isfinite().all():
        raise InputError(f"{name} holds numbers that are not finite, which int8 cannot keep; expected trained weights")
    codes = (rows / step.clamp_min(torch.finfo(torch.float32).tiny)).round().to(torch.int8)
    return codes, step[..., 0]


def dequantised(kept: Mapping[str, Tensor], name: str, suffix: str = CODES) -> Tensor:
    """Return code · step of one tensor, in float32; `suffix`: that of its codes.

    Raises: KeyError for codes without steps; ValueError for codes of another type, and for steps that are not finite or not
    one a row.
    """
    codes, step = kept[name + suffix], kept[name + STEP]
    if codes.dtype != torch.int8:
        raise ValueError(f"{name}{suffix} has codes in {codes.dtype}; expected torch.int8")
    if step.shape != codes.shape[:-1] or not step.isfinite().all():
        odd = int((~step.isfinite()).sum())
        rows = codes[..., 0].numel()
        raise ValueError(f"{name}{STEP} has steps {list(step.shape)}, {odd} not finite; expected one for each of {rows} rows")
    return codes.float().mul_(step[..., None])


def coded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of an int8 checkpoint from those of a model, in main memory.

    Tensors of the query tower that decode to those of the document tower are left out: this tower starts as its copy.
    Raises: InputError for numbers that are not finite in a large matrix.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        tower = name.startswith((_DOCUMENT_TOWER, _QUERY_TOWER))
        named = ENCODER + name.removeprefix(_DOCUMENT_TOWER) if name.startswith(_DOCUMENT_TOWER) else name
        if is_large(tensor, tower=tower):
            kept[named + CODES], kept[named + STEP] = quantised(name, tensor.float())
        else:
            kept[named] = tensor.float() if tensor.is_floating_point() else tensor
    whole = decoded(kept)
    copies = {name for name in whole if _is_copy(name, whole)}
    return {name: tensor for name, tensor in kept.items() if plain(name) not in copies}


def _is_copy(name: str, whole: Mapping[str, Tensor]) -> bool:
    origin = whole.get(ENCODER + name.removeprefix(_QUERY_TOWER)) if name.startswith(_QUERY_TOWER) else None
    return origin is not None and torch.equal(whole[name], origin)


def decoded(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of their own memory, in float32, from those of a checkpoint; codes become matrices.

    Raises: KeyError for codes without steps and steps without codes; ValueError as `dequantised`.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in kept.items():
        if name.endswith(CODES):
            tensors[plain(name)] = dequantised(kept, plain(name))
        elif not name.endswith(STEP):
            tensors[name] = tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)
        elif plain(name) + CODES not in kept:
            raise KeyError(plain(name) + CODES)
    return tensors


def plain(name: str) -> str:
    """Return the name of a tensor without the suffix of its codes or steps."""
    return name.removesuffix(CODES).removesuffix(STEP)


def encoder_part(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the encoder's tensors among those of a checkpoint, under the names that transformers gives them."""
    return {name.removeprefix(ENCODER): tensor for name, tensor in tensors.items() if name.startswith(ENCODER)}
