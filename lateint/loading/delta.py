"""What a checkpoint keeps beside a base: changed tensors, or their differences at a byte a weight, and what the base lacks."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lateint.loading.pretrained import MethodOverrides, locate, pretrained
from lateint.model.digests import digest_tensors
from lateint.model.model import Model
from lateint.model.saving import host_state, narrowed, write_checkpoint

CODES, STEP = ".difference", ".step"
WORTH_CODES = 4_096  # numbers; smaller tensors are kept as they are
LARGE = 1 << 16  # numbers from which on a tensor outside the towers, such as a block's, takes a byte a weight too
TOWERS = ("backbone.model.", "query_backbone.model.")


def save_delta(model: Model, folder: str | os.PathLike[str], base: str, *, dtype: torch.dtype | None = None) -> None:
    """Write a checkpoint that holds what differs from a named base, in `dtype` where that is given.

    torch.int8 keeps what changed in the encoder's matrices at a byte a weight (see `changes`), and all else in float16.
    Raises: ModelError if the base cannot be found.
    """
    backbone, _, _ = pretrained(locate(base), model.method, MethodOverrides(), torch.float32)
    weights = backbone.model.state_dict()
    own = changes(host_state(model), weights, coded=dtype == torch.int8)
    narrow = torch.float16 if dtype == torch.int8 else dtype
    tensors = {name: tensor if name.endswith((CODES, STEP)) else narrowed(tensor, narrow) for name, tensor in own.items()}
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    write_checkpoint(out, model.method, tensors, {"name": base, "digest": digest_tensors(weights)})


def changes(state: Mapping[str, Tensor], base: Mapping[str, Tensor], *, coded: bool) -> dict[str, Tensor]:
    """The tensors of a model that are not those of its base, in either tower, and all that the base does not have.

    Args: `state`, the model's; `base`, the base's own, by its own names; `coded` keeps large changed matrices as int8
    differences with one float32 step a row: off by at most half a step, 1/254 of the row's largest change. A large matrix
    outside the towers is its own difference.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        origin = _origin(name, base)
        if origin is None or origin.shape != tensor.shape:
            alone = coded and tensor.dim() == 2 and tensor.numel() >= LARGE and not name.startswith(TOWERS)
            kept |= _coded(name, tensor.float()) if alone else {name: tensor}
        elif not torch.equal(tensor.float(), origin.float()):
            wide = coded and tensor.dim() == 2 and tensor.numel() >= WORTH_CODES
            kept |= _coded(name, tensor.float() - origin.float()) if wide else {name: tensor}
    return kept


def _coded(name: str, difference: Tensor) -> dict[str, Tensor]:
    step = difference.abs().amax(dim=1, keepdim=True) / 127
    codes = (difference / step.clamp_min(torch.finfo(torch.float32).tiny)).round().to(torch.int8)
    return {name + CODES: codes, name + STEP: step[:, 0]}


def restored(kept: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `changes` was given, where they differ from the base, in float32.

    Raises: KeyError for codes without their step, or of a tensor that the base does not have.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in kept.items():
        if name.endswith(CODES):
            plain = name.removesuffix(CODES)
            origin = _origin(plain, base)
            if origin is None and plain.startswith(TOWERS):
                raise KeyError(plain)
            found[plain] = tensor.float() * kept[plain + STEP][:, None]
            if origin is not None:
                found[plain] += origin.float()
        elif not name.endswith(STEP):
            found[name] = tensor.float()
    return found


def _origin(name: str, base: Mapping[str, Tensor]) -> Tensor | None:
    for tower in TOWERS:
        if name.startswith(tower):
            return base.get(name.removeprefix(tower))
    return None
