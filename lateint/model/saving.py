"""Writing a checkpoint: `lateint.json`, our tensors, and the encoder as transformers writes it or as int8 codes."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from lateint.errors import InputError
from lateint.model.activation import IDENTITY, Sigmoid, activation_to_json
from lateint.model.digests import digest_file, digest_json, digest_tensors, plain_tensor
from lateint.model.int8 import coded, decoded, encoder_part
from lateint_store.arguments import as_path, check_kind
from lateint_store.disk.files import disk_errors, replacing_files

if TYPE_CHECKING:
    from lateint.backbone.base import Backbone
    from lateint.backbone.tokenizer import TextEncoder
    from lateint.model.model import Model

FORMAT, INT8_FORMAT = 1, 2  # the latter has the encoder among our tensors, which earlier versions do not look for
CONFIG, TENSORS = "lateint.json", "lateint.safetensors"
_ENCODER_FILE = "model.safetensors"  # as transformers names it
FLOATS = ("float32", "bfloat16", "float16", "float64")
PUBLISHED = (CONFIG, "config.json")
"""Files that are renamed into place last, in this order: a folder with one of them and without the other is refused."""
BASE_FACTS = ("digest", "tokenizer", "token_rules", "configuration")
"""Names of the digests that identify a base; a checkpoint of an earlier version has only the first, that of the weights."""


def save(model: Model, folder: str | os.PathLike[str], *, dtype: str | torch.dtype | None = None) -> None:
    """Write a full checkpoint, its floating-point tensors in `dtype` where that is given.

    torch.int8 keeps large matrices, the encoder's included, at one byte a weight (`lateint.model.int8`), and everything else
    in float32; transformers by itself cannot read such a checkpoint.
    An interruption leaves the earlier checkpoint of the folder, or one that `load_model` refuses; the same call completes it.
    Raises: InputError for another dtype, for numbers that int8 cannot keep, and for a folder that cannot be written; StoreFull.
    """
    chosen = as_dtype(dtype, *FLOATS, "int8")
    activation_to_json(model.activation)  # before anything is written
    if chosen == torch.int8:
        _save_int8(model, folder)
        return
    encoder = model.backbone.model
    if chosen not in (None, encoder.dtype):
        encoder = copy.deepcopy(encoder).to(chosen)
    own = {name: tensor for name, tensor in host_state(model).items() if not name.startswith("backbone.")}
    tensors = {name: narrowed(tensor, chosen) for name, tensor in own.items()}
    base = {"name": None, "digest": digest_tensors(_as_loaded(encoder.state_dict()))}
    with checkpoint_folder(folder) as out:
        encoder.save_pretrained(out)
        write_checkpoint(out, model, tensors, base, {"config.json", *model.texts.save(out)})


def _save_int8(model: Model, folder: str | os.PathLike[str]) -> None:
    tensors = coded(host_state(model))
    base = {"name": None, "digest": digest_tensors(encoder_part(decoded(tensors)))}
    config = copy.deepcopy(model.backbone.config)
    config.architectures, config.dtype = [type(model.backbone.model).__name__], "float32"  # of the weights as they are read
    with checkpoint_folder(folder) as out:
        config.save_pretrained(out)
        write_checkpoint(out, model, tensors, base, {"config.json", *model.texts.save(out)}, INT8_FORMAT)
    with disk_errors(Path(folder), "write", InputError):
        (Path(folder) / _ENCODER_FILE).unlink(missing_ok=True)  # of a checkpoint that was here before


def as_dtype(dtype: str | torch.dtype | None, *choices: str) -> torch.dtype | None:
    """Return a dtype given by itself or by name; None stays None. Raises: InputError if it is none of the choices."""
    expected = f"{', '.join(choices[:-1])} or {choices[-1]}"
    check_kind(dtype, "dtype", str | torch.dtype | None, expected)
    if dtype is None:
        return None
    found = {name: getattr(torch, name) for name in choices}
    if dtype not in (*found, *found.values()):
        raise InputError(f"dtype {dtype!r}; expected {expected}")
    return found[dtype] if isinstance(dtype, str) else dtype


@contextmanager
def checkpoint_folder(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a folder to write a checkpoint in, whose files are put into place at the end (`replacing_files`).

    Raises: InputError for what is no path or cannot be written; StoreFull.
    """
    out = as_path(folder, "folder")
    try:
        with disk_errors(out, "write", InputError), replacing_files(out, PUBLISHED) as draft:
            yield draft
    except SafetensorError as error:
        raise InputError(f"cannot write {out}: {error}; is the disk full?") from error


def write_checkpoint(
    out: Path,
    model: Model,
    tensors: Mapping[str, Tensor],
    base: Mapping[str, Any],
    files: Iterable[str] = (),
    layout: int = FORMAT,
) -> None:
    """Write our tensors and `lateint.json` into a folder that is not yet in place (`replacing_files`).

    `base`: name (None: the folder itself) and digest of the weights, and what else `BASE_FACTS` names; `files`: names of
    files in the folder that loading reads and no other digest covers; `layout`: `FORMAT` or `INT8_FORMAT`. The activation
    is recorded unless it is identity, as in every checkpoint from before it existed.
    """
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, out / TENSORS)
    data = {"format": layout, "method": model.method.to_json(), "base": dict(base), "tensors": digest_file(out / TENSORS)}
    data["files"] = {name: digest_file(out / name) for name in sorted(files)}
    _write_config(out, data, model.activation)


def record_activation(folder: Path, activation: str | Sigmoid) -> None:
    """Replace the activation in the `lateint.json` of a checkpoint; all else in the folder stays as it is."""
    data = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    kept = {name: value for name, value in data.items() if name not in ("activation", "digest")}
    _write_config(folder, kept, activation)


def _write_config(out: Path, data: Mapping[str, Any], activation: str | Sigmoid) -> None:
    recorded = {} if activation == IDENTITY else {"activation": activation_to_json(activation)}
    plain = json.loads(json.dumps({**data, **recorded}))  # tuples become lists, as they are read back
    text = json.dumps(plain | {"digest": digest_json(plain)}, indent=2, sort_keys=True, ensure_ascii=False)
    (out / CONFIG).write_text(text + "\n", encoding="utf-8")


def base_facts(backbone: Backbone, texts: TextEncoder) -> dict[str, str]:
    """Return digests of what a base gives a checkpoint beside its weights: tokenizer and configuration."""
    head = {name: getattr(backbone.config, name, None) for name in ("classifier_pooling", "classifier_activation")}
    configuration = digest_json(backbone.configuration() | head)
    return {"tokenizer": texts.behaviour, "token_rules": texts.rules, "configuration": configuration}


def host_state(model: Model) -> dict[str, Tensor]:
    """The model's tensors in main memory, without gradients. Raises: ModelError."""
    state = model.state_dict()
    return {name: plain_tensor(state, name).detach().cpu() for name in state}


def narrowed(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A floating-point tensor in the dtype of its checkpoint; any other tensor as it is."""
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def _as_loaded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float32, the precision in which a checkpoint is read."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
