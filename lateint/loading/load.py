"""Load a model: from a transformers encoder, a full lateint checkpoint, or a delta over a named base.

A lateint checkpoint is a folder with `lateint.json`. A full checkpoint also has an unmodified transformers checkpoint, and
`lateint.safetensors` with the parts that transformers does not know (head, compressor, copied query tower). A full checkpoint
in int8 has configuration and tokenizer of transformers, and all weights in `lateint.safetensors`. A delta has only
`lateint.safetensors`, with the tensors that differ from the base. All are checked by digest.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lateint.backbone.base import Backbone
from lateint.backbone.reduced import resolve_precision
from lateint.backbone.tokenizer import TextEncoder
from lateint.errors import DamagedCheckpoint, InputError, ModelError
from lateint.loading.config import Config, check_file, described, read_config
from lateint.loading.delta import restored
from lateint.loading.packaged import Source, intended_method, locate
from lateint.loading.pretrained import MethodOverrides, pretrained
from lateint.loading.shipped import shipped
from lateint.loading.transfer import rebase
from lateint.methods.method import Method
from lateint.methods.presets import preset
from lateint.methods.registry import Part, build
from lateint.model.activation import classifier_activation
from lateint.model.digests import digest_tensors
from lateint.model.int8 import ENCODER, decoded, encoder_part, plain
from lateint.model.model import Model
from lateint.model.saving import CONFIG, FLOATS, TENSORS, as_dtype, base_facts
from lateint_store.arguments import as_path, as_threads, check_kind


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
    precision: str | None = None,
) -> Model:
    """Load a model for indexing and ranking.

    Args: `name_or_path`, "default" (`latent`, the best checkpoint in the package), a lateint checkpoint, or an encoder or
    one-label classifier of a supported family: a folder (an existing one comes before any other meaning of a name), else a
    model in an installed package (`PACKAGED` in `loading/packaged.py`), else a hub name; `method`, a preset name or a `Method`
    (default: that of a lateint checkpoint or of a packaged model; else `cosine` for an encoder, `prettr` for a classifier;
    another method over a lateint checkpoint uses its encoder and all other weights that fit, and initialises the rest);
    `offline_layers` replaces the method's L, `query_max_length` and `doc_max_length` its lengths in tokens, `compressor` its
    compressor: a part, text such as "bottleneck:width=128" (untrained weights), or "none"; `device`, a torch device; `dtype` of
    the weights (default float32; logits are always float32); `threads`, the torch threads of this process (default: those
    it has, but one for a short query and for codes); `precision` of the
    layers on a processor with float32 weights: "auto" (default) is bfloat16 for queries where the processor has units for it,
    and float32 otherwise; "bfloat16" is for documents too, "int8" for queries alone, "float32" for neither. A processor without
    the units runs float32, with a warning.
    Raises: ModelError, DamagedCheckpoint, InputError; MissingExtra without onnx.
    """
    as_path(name_or_path, "name_or_path", "the name of a model, or the path of its folder")
    chosen, wanted = as_dtype(dtype, *FLOATS) or torch.float32, _method(method)
    overrides = MethodOverrides(offline_layers, query_max_length, doc_max_length, compressor)
    _set_threads(threads)
    _check_device(device)
    reduced = resolve_precision(precision, chosen, device)
    model = _loaded(name_or_path, wanted, overrides, chosen)
    model.precision, model.threads = reduced, threads
    return model.to(device) if device is not None else model


def _loaded(
    name_or_path: str | os.PathLike[str], method: Method | None, overrides: MethodOverrides, dtype: torch.dtype
) -> Model:
    """Find a model by its name, and load it from what is there. Raises: as `load_model`."""
    name, packaged = shipped(name_or_path)
    folder = packaged or locate(name)
    if isinstance(folder, Path) and (folder / CONFIG).exists():
        as_saved = replace(overrides, offline_layers=None, compressor=None)
        model, source = _load_checkpoint(folder, name, as_saved, dtype)
        changed = method is not None or overrides.offline_layers is not None or overrides.compressor is not None
        return rebase(model, source, method, overrides) if changed else model
    model = Model(*pretrained(folder, method or intended_method(name), overrides, dtype), name).to(dtype)
    model.activation = classifier_activation(model.backbone)
    return model


_forked = False  # True in a child that was forked from a process in which torch had several threads


def _use_one_thread_after_fork() -> None:
    """Let a forked child use one torch thread: OpenMP's other threads stay behind in the parent, and it would wait for them."""
    global _forked
    if torch.get_num_threads() > 1:
        _forked = True
        torch.set_num_threads(1)


os.register_at_fork(after_in_child=_use_one_thread_after_fork)


def _set_threads(threads: int | None) -> None:
    """Set the number of torch threads of this process. Raises: InputError."""
    if threads is None:
        return
    if as_threads(threads) > 1 and _forked:
        raise InputError(
            f"threads={threads} in a process that was forked after torch ran on several threads, where only one can run; "
            "use threads=1, or start processes with multiprocessing.get_context('spawn')"
        )
    torch.set_num_threads(threads)


def _check_device(device: str | None) -> None:
    """Put a number on a device before any weight is read. Raises: InputError if this machine lacks the device."""
    if device is None:
        return
    check_kind(device, "device", str | torch.device, "a device in torch's notation, such as 'cpu' or 'cuda:0'")
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # torch built without a device asserts
        found = "".join(f", cuda:{number}" for number in range(torch.cuda.device_count()))
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"device {device!r} cannot be used ({reason}); expected one of: cpu{found}") from error


def _method(method: str | Method | None) -> Method | None:
    """Return the method of a name. Raises: InputError."""
    check_kind(method, "method", str | Method | None, "the name of a preset, or a lateint.Method")
    return preset(method) if isinstance(method, str) else method


def _load_checkpoint(folder: Path, name: str, overrides: MethodOverrides, dtype: torch.dtype) -> tuple[Model, Source]:
    """Load a lateint checkpoint; also return where its base was loaded from. Raises: DamagedCheckpoint, ModelError."""
    config = read_config(folder)
    tensors = _read_tensors(folder / TENSORS, config.tensors)
    source = folder if config.base is None else locate(config.base)
    with described(folder, changed=overrides != MethodOverrides()):
        backbone, texts, method = pretrained(source, config.method, overrides, torch.float32)
        _check_base(config, backbone, texts, name, folder)
        own = _restored(tensors, backbone, folder / TENSORS, full=config.base is None)
        _check_compressor(method, backbone.width, own, folder / TENSORS)
        model = Model(backbone, texts, method, name)
        model.checkpoint, model.activation = True, config.activation
        _load_tensors(model, own, folder / TENSORS)
        return model.to(dtype), source


def _check_base(config: Config, backbone: Backbone, texts: TextEncoder, name: str, folder: Path) -> None:
    """Compare the encoder with what the checkpoint was saved with. Raises: DamagedCheckpoint; ModelError for a base."""
    found = {"digest": digest_tensors(backbone.model.state_dict())} if "digest" in config.facts else {}
    if set(config.facts) - {"digest"}:
        found |= base_facts(backbone, texts)
    for fact, expected in config.facts.items():
        if found[fact] == expected:
            continue
        what = {"digest": "weights"}.get(fact, fact)
        if config.base is None:
            reason = f"the {what} in {folder} have digest {found[fact][:12]}, but its {CONFIG} says {expected[:12]}"
            raise DamagedCheckpoint(f"{reason}; download it again")
        raise ModelError(
            f"{name} is a delta over {config.base} with {what} {expected[:12]}, "
            f"but the {config.base} found here has {found[fact][:12]}; install the base that it was made for"
        )


def _restored(kept: Mapping[str, Tensor], backbone: Backbone, file: Path, *, full: bool) -> dict[str, Tensor]:
    """Restore the tensors of a full checkpoint or a delta, but for an int8 encoder, which the backbone already has.

    Raises: DamagedCheckpoint, also if the weights of the int8 encoder are not those of the backbone, by name.
    """
    weights = backbone.model.state_dict()
    try:
        if not full:
            return restored(kept, weights)
        own = decoded({name: tensor for name, tensor in kept.items() if not name.startswith(ENCODER)})
    except (KeyError, RuntimeError, ValueError) as error:
        what = "int8 weights that cannot be decoded" if full else "differences that do not fit its base"
        raise DamagedCheckpoint(f"{file} holds {what}: {error}") from error
    encoder = {plain(name) for name in encoder_part(kept)}
    if encoder and (odd := sorted(encoder ^ set(weights))):
        raise DamagedCheckpoint(f"{file} holds other weights than the encoder of its config.json has, such as {odd[0]}")
    return own


def _check_compressor(method: Method, width: int, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Compare a compressor's tensors with those of the file before any takes memory: its settings alone make it large.

    Raises: DamagedCheckpoint.
    """
    if method.compressor is None:
        return
    try:
        with torch.device("meta"):
            expected = build("compressors", method.compressor, width).state_dict()
    except (RuntimeError, TypeError):  # a constructor that reads numbers: `_load_tensors` compares what it makes
        return
    for name, tensor in expected.items():
        held = tensors.get(f"compressor.{name}")
        if held is None or held.shape != tensor.shape:
            raise DamagedCheckpoint(f"{file} does not hold the tensors of method {method.name!r}")


def _load_tensors(model: Model, tensors: Mapping[str, Tensor], file: Path) -> None:
    """Load the tensors of a checkpoint into a model made from its base. Raises: DamagedCheckpoint if they do not fit."""
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    # The query tower starts as a copy of the document tower: tensors that a checkpoint lacks are those of the base.
    needed = {name for name in shapes if not name.startswith(("backbone.", "query_backbone."))}
    if needed - set(tensors) or any(shapes.get(name) != tensor.shape for name, tensor in tensors.items()):
        raise DamagedCheckpoint(f"{file} does not hold the tensors of method {model.method.name!r}")
    model.load_state_dict(tensors, strict=False)


def base_of(name_or_path: str | os.PathLike[str]) -> str:
    """Return the name of a delta checkpoint's base; for any other model, its own name."""
    name, packaged = shipped(name_or_path)
    folder = packaged or Path(name)
    base = read_config(folder).base if (folder / CONFIG).is_file() else None
    return base or name


def _read_tensors(file: Path, expected: str) -> dict[str, Tensor]:
    check_file(file, expected)
    try:
        tensors: dict[str, Tensor] = load_file(file)
    except SafetensorError as error:
        raise DamagedCheckpoint(f"{file} is not a safetensors file: {error}") from error
    return tensors
