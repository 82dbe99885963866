"""Writing a checkpoint: `lateint.json`, our tensors, and the encoder as transformers writes it."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from lateint.errors import InputError
from lateint.model.activation import IDENTITY
from lateint.model.digests import digest_tensors

if TYPE_CHECKING:
    from lateint.model.model import Model

FORMAT = 1
CONFIG, TENSORS = "lateint.json", "lateint.safetensors"


def save(model: Model, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
    """Write a full checkpoint, its floating-point tensors in `dtype` where that is given.

    Raises: InputError for int8, which only a delta over a base can keep (`lateint.loading.delta.save_delta`).
    """
    if dtype == torch.int8:
        raise InputError("int8 keeps differences from a base; name one, or save a full checkpoint in another dtype")
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    encoder = model.backbone.model
    if dtype not in (None, encoder.dtype):
        encoder = copy.deepcopy(encoder).to(dtype)
    encoder.save_pretrained(out)
    model.texts.save(out)
    own = {name: tensor for name, tensor in host_state(model).items() if not name.startswith("backbone.")}
    tensors = {name: narrowed(tensor, dtype) for name, tensor in own.items()}
    write_checkpoint(out, model, tensors, {"name": None, "digest": digest_tensors(_as_loaded(encoder.state_dict()))})


def write_checkpoint(out: Path, model: Model, tensors: Mapping[str, Tensor], base: Mapping[str, Any]) -> None:
    """Write our tensors and `lateint.json` into a folder; `base`: name (None: the folder itself) and digest of the weights.

    The activation is recorded unless it is identity, as in every checkpoint from before it existed.
    """
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, out / TENSORS)
    digest = hashlib.blake2b((out / TENSORS).read_bytes(), digest_size=32).hexdigest()
    data = {"format": FORMAT, "method": model.method.to_json(), "base": base, "tensors": digest}
    if model.activation != IDENTITY:
        data["activation"] = model.activation
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False)
    (out / CONFIG).write_text(text + "\n", encoding="utf-8")


def host_state(model: Model) -> dict[str, Tensor]:
    """The model's tensors in main memory, without gradients."""
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}


def narrowed(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A floating-point tensor in the dtype of its checkpoint; any other tensor as it is."""
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def _as_loaded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float32, the precision in which a checkpoint is read."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
