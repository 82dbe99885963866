"""Delta checkpoints: tensors that differ from a base model, whole or as int8 differences, and tensors that it lacks."""

from __future__ import annotations

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from lateint.loading.packaged import locate
from lateint.loading.pretrained import MethodOverrides, pretrained
from lateint.model.digests import digest_tensors
from lateint.model.int8 import STEP, dequantised, is_large, quantised
from lateint.model.model import Model
from lateint.model.saving import FLOATS, as_dtype, base_facts, checkpoint_folder, host_state, narrowed, write_checkpoint
from lateint_store.arguments import as_path

CODES = ".difference"  # suffix of tensor names in the file; steps have that of `lateint.model.int8`
_TOWERS = ("backbone.model.", "query_backbone.model.")


def save_delta(
    model: Model, folder: str | os.PathLike[str], base: str | os.PathLike[str], *, dtype: str | torch.dtype | None = None
) -> None:
    """Write a checkpoint of the tensors that differ from a named base, in `dtype` if given.

    torch.int8 keeps differences of large matrices as int8 (see `changes`), and everything else in float16.
    Raises: ModelError if the base cannot be found; InputError for another dtype, for numbers that int8 cannot keep, and for
    a folder that cannot be written; StoreFull.
    """
    chosen = as_dtype(dtype, *FLOATS, "int8")
    as_path(base, "base", "the name of a model, or the path of its folder")
    backbone, texts, _ = pretrained(locate(base), model.method, MethodOverrides(), torch.float32)
    weights = backbone.model.state_dict()
    kept = changes(host_state(model), weights, coded=chosen == torch.int8)
    narrow = torch.float16 if chosen == torch.int8 else chosen
    tensors = {name: tensor if name.endswith((CODES, STEP)) else narrowed(tensor, narrow) for name, tensor in kept.items()}
    facts = {"name": str(base), "digest": digest_tensors(weights)} | base_facts(backbone, texts)
    with checkpoint_folder(folder) as out:
        write_checkpoint(out, model, tensors, facts)


def changes(state: Mapping[str, Tensor], base: Mapping[str, Tensor], *, coded: bool) -> dict[str, Tensor]:
    """Return the tensors of a model that differ from its base, in either tower, and those that the base lacks.

    Args: `state`, tensors of the model; `base`, tensors of the base under its own names; `coded` keeps large changed
    matrices as int8 differences with one float32 step per row. The error is at most half a step: 1/254 of the largest
    change in the row. A large matrix outside the towers is coded as a difference from zero.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in state.items():
        origin = _origin(name, base)
        if origin is None or origin.shape != tensor.shape:
            wide = coded and tensor.dim() == 2 and is_large(tensor, tower=False) and not name.startswith(_TOWERS)
            kept |= _coded(name, tensor.float()) if wide else {name: tensor}
        elif not torch.equal(tensor.float(), origin.float()):
            wide = coded and tensor.dim() == 2 and is_large(tensor, tower=True)
            kept |= _coded(name, tensor.float() - origin.float()) if wide else {name: tensor}
    return kept


def _coded(name: str, difference: Tensor) -> dict[str, Tensor]:
    codes, step = quantised(name, difference)
    return {name + CODES: codes, name + STEP: step}


def restored(kept: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Restore tensors that `changes` made, in float32.

    Raises: KeyError for codes without steps, steps without codes, and codes of a tower's tensor that the base lacks;
    ValueError for steps that are not finite, or not one a row.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in kept.items():
        if name.endswith(CODES):
            plain = name.removesuffix(CODES)
            origin = _origin(plain, base)
            if origin is None and plain.startswith(_TOWERS):
                raise KeyError(plain)
            tensors[plain] = dequantised(kept, plain, CODES)
            if origin is not None:
                tensors[plain] += origin.float()
        elif not name.endswith(STEP):
            tensors[name] = tensor.float()
        elif (codes := name.removesuffix(STEP) + CODES) not in kept:
            raise KeyError(codes)
    return tensors


def _origin(name: str, base: Mapping[str, Tensor]) -> Tensor | None:
    for tower in _TOWERS:
        if name.startswith(tower):
            return base.get(name.removeprefix(tower))
    return None
