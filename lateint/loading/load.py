"""Checkpoints: any transformers encoder, our own full checkpoints, and small deltas over a named base.

A lateint checkpoint is a folder with `lateint.json`. Full: beside it stands an unmodified transformers checkpoint and
`lateint.safetensors` with what transformers does not know (head, compressor, the query's own tower). Delta: only
`lateint.safetensors`, with the tensors in which it differs from a base that is named. Both are checked by digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lateint.errors import DamagedCheckpoint, InputError, ModelError
from lateint.loading.delta import restored
from lateint.loading.pretrained import MethodOverrides, locate, pretrained
from lateint.loading.shipped import shipped
from lateint.loading.transfer import rebase
from lateint.methods.method import Method
from lateint.methods.presets import preset
from lateint.methods.registry import Part
from lateint.model.digests import digest_tensors
from lateint.model.model import Model
from lateint.model.saving import CONFIG, FORMAT, TENSORS


def load_model(
    name_or_path: str | os.PathLike[str] = "default",
    method: str | Method | None = None,
    *,
    offline_layers: int | str | None = None,
    device: str | None = None,
    query_max_length: int | None = None,
    doc_max_length: int | None = None,
    compressor: str | Part | None = None,
    dtype: str | torch.dtype | None = None,
    threads: int | None = None,
) -> Model:
    """Load a model for indexing and ranking.

    Args: `name_or_path` "default" (`latent`, the best that ships with the package), a lateint checkpoint, a folder or hub
    name of any supported encoder or one-label classifier; `method` a preset name or a `Method` (default: a lateint
    checkpoint's own, `cosine` for a bare encoder, `prettr` for a classifier; another method over a lateint checkpoint
    takes its encoder and whatever else fits, the rest is fresh); `offline_layers` replaces the
    method's L, and the two lengths its longest query and document in tokens; `compressor` its compressor, a part or text
    such as "bottleneck:width=128" (fresh weights, to be trained), or "none"; `device` as torch spells it; `dtype` of the
    weights, float32 unless given (logits are float32 always); `threads` of torch in this process, left alone unless given.
    Raises: ModelError, DamagedCheckpoint, InputError.
    """
    _use(threads)
    changes = MethodOverrides(offline_layers, query_max_length, doc_max_length, compressor)
    name_or_path, packaged = shipped(name_or_path)
    folder = packaged or locate(name_or_path)
    chosen = _dtype(dtype)
    wanted = preset(method) if isinstance(method, str) else method
    if isinstance(folder, Path) and (folder / CONFIG).is_file():
        as_saved = replace(changes, offline_layers=None, compressor=None)
        model, source = _load_ours(folder, str(name_or_path), as_saved, chosen)
        if wanted is not None or offline_layers is not None or compressor is not None:
            model = rebase(model, source, wanted, changes)
    else:
        backbone, texts, settled = pretrained(folder, wanted, changes, chosen)
        model = Model(backbone, texts, settled, str(name_or_path)).to(chosen)
    return model.to(device) if device is not None else model


def _use(threads: int | None) -> None:
    """Let torch use so many threads of this process."""
    if threads is not None:
        if threads < 1:
            raise InputError(f"threads={threads}; expected at least 1")
        torch.set_num_threads(threads)


def _dtype(dtype: str | torch.dtype | None) -> torch.dtype:
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype or torch.float32
    if found not in (torch.float32, torch.bfloat16, torch.float16, torch.float64):
        raise InputError(f"dtype {dtype!r}; expected float32, bfloat16, float16 or float64")
    return found


def _load_ours(folder: Path, name: str, changes: MethodOverrides, dtype: torch.dtype) -> tuple[Model, Path | str]:
    config = _read_config(folder)
    tensors = _read_tensors(folder / TENSORS, config.tensors)
    source = folder if config.base is None else locate(config.base)
    backbone, texts, settled = pretrained(source, config.method, changes, torch.float32)
    if config.weights is not None and (found := digest_tensors(backbone.model.state_dict())) != config.weights:
        if config.base is None:
            raise DamagedCheckpoint(
                f"the weights in {folder} have digest {found[:12]}, its {CONFIG} says {config.weights[:12]}; fetch it again"
            )
        raise ModelError(
            f"{name} is a delta over {config.base} with weights {config.weights[:12]}, "
            f"but the {config.base} found here has {found[:12]}; install the base it was made for"
        )
    model = Model(backbone, texts, settled, name)
    model.checkpoint = True
    _load(model, tensors, folder / TENSORS)
    return model.to(dtype), source


def _load(model: Model, kept: Mapping[str, Tensor], file: Path) -> None:
    """Put the tensors of a checkpoint into a model made from its base. Raises: DamagedCheckpoint if they do not fit."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    try:
        tensors = restored(kept, model.backbone.model.state_dict())
    except (KeyError, RuntimeError) as error:
        raise DamagedCheckpoint(f"{file} holds differences that do not fit its base: {error}") from error
    # The query tower starts as a copy of the document tower: what a checkpoint does not hold of it is the base's.
    own = {name for name in shapes if not name.startswith(("backbone.", "query_backbone."))}
    if own - set(tensors) or any(shapes.get(name) != tensor.shape for name, tensor in tensors.items()):
        raise DamagedCheckpoint(f"{file} does not hold the tensors of method {model.method.name!r}")
    model.load_state_dict(tensors, strict=False)


def base_of(name_or_path: str | os.PathLike[str]) -> str:
    """The base that a delta checkpoint of ours stands on; what is no delta stands for itself."""
    name_or_path, packaged = shipped(name_or_path)
    folder = packaged or Path(name_or_path)
    named = _read_config(folder).base if (folder / CONFIG).is_file() else None
    return named or str(name_or_path)


@dataclass(frozen=True, slots=True)
class _Config:
    """What `lateint.json` says. `base` None: the weights are in the folder itself; `weights` is their digest."""

    method: Method
    base: str | None
    weights: str | None
    tensors: str


def _read_config(folder: Path) -> _Config:
    try:
        data = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DamagedCheckpoint(f"{folder / CONFIG} is not JSON: {error}") from error
    fields = sorted(data) if isinstance(data, dict) else []
    if fields != ["base", "format", "method", "tensors"]:
        raise DamagedCheckpoint(f"{folder / CONFIG} has fields {fields}; expected base, format, method, tensors")
    if data["format"] != FORMAT:
        raise ModelError(f"{folder} has checkpoint format {data['format']}; this version reads {FORMAT}")
    try:
        base = data["base"] or {"name": None, "digest": None}
        return _Config(Method.from_json(data["method"]), base["name"], base["digest"], data["tensors"])
    except (InputError, TypeError, KeyError, AttributeError) as error:
        raise DamagedCheckpoint(f"{folder / CONFIG} does not describe a method of this version: {error}") from error


def _read_tensors(file: Path, expected: str) -> dict[str, Tensor]:
    try:
        found = hashlib.blake2b(file.read_bytes(), digest_size=32).hexdigest()
    except OSError as error:
        raise DamagedCheckpoint(f"{file} cannot be read: {error.strerror}") from error
    if found != expected:
        raise DamagedCheckpoint(f"{file} has digest {found[:12]}, its lateint.json says {expected[:12]}; fetch it again")
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except SafetensorError as error:
        raise DamagedCheckpoint(f"{file} is no safetensors file: {error}") from error
    return tensors
