"""Writing a checkpoint: `lateint.json`, our tensors, and the encoder as transformers writes it."""

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
from lateint.model.digests import digest_file, digest_json, digest_tensors
from lateint_store.arguments import as_path
from lateint_store.disk.files import disk_errors, replacing_files

if TYPE_CHECKING:
    from lateint.backbone.base import Backbone
    from lateint.backbone.tokenizer import TextEncoder
    from lateint.model.model import Model

FORMAT = 1
CONFIG, TENSORS = "lateint.json", "lateint.safetensors"
PUBLISHED = (CONFIG, "config.json")
"""Files that are renamed into place last, in this order: a folder with one of them and without the other is refused."""
BASE_FACTS = ("digest", "tokenizer", "token_rules", "configuration")
"""Names of the digests that identify a base; a checkpoint of an earlier version has only the first, that of the weights."""


def save(model: Model, folder: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> None:
    """Write a full checkpoint, its floating-point tensors in `dtype` where that is given.

    An interruption leaves the earlier checkpoint of the folder, or one that `load_model` refuses; the same call completes it.
    Raises: InputError for int8, which only a delta over a base can keep (`lateint.loading.delta.save_delta`), and for a
    folder that cannot be written; StoreFull.
    """
    if dtype == torch.int8:
        raise InputError("int8 keeps differences from a base; name one, or save a full checkpoint in another dtype")
    activation_to_json(model.activation)  # before anything is written
    encoder = model.backbone.model
    if dtype not in (None, encoder.dtype):
        encoder = copy.deepcopy(encoder).to(dtype)
    own = {name: tensor for name, tensor in host_state(model).items() if not name.startswith("backbone.")}
    tensors = {name: narrowed(tensor, dtype) for name, tensor in own.items()}
    base = {"name": None, "digest": digest_tensors(_as_loaded(encoder.state_dict()))}
    with checkpoint_folder(folder) as out:
        encoder.save_pretrained(out)
        write_checkpoint(out, model, tensors, base, {"config.json", *model.texts.save(out)})


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
    out: Path, model: Model, tensors: Mapping[str, Tensor], base: Mapping[str, Any], files: Iterable[str] = ()
) -> None:
    """Write our tensors and `lateint.json` into a folder that is not yet in place (`replacing_files`).

    `base`: name (None: the folder itself) and digest of the weights, and what else `BASE_FACTS` names; `files`: names of
    files in the folder that loading reads and no other digest covers. The activation is recorded unless it is identity,
    as in every checkpoint from before it existed.
    """
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, out / TENSORS)
    data = {"format": FORMAT, "method": model.method.to_json(), "base": dict(base), "tensors": digest_file(out / TENSORS)}
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
    """The model's tensors in main memory, without gradients."""
    return {name: tensor.detach().cpu() for name, tensor in model.state_dict().items()}


def narrowed(tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    """A floating-point tensor in the dtype of its checkpoint; any other tensor as it is."""
    return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)


def _as_loaded(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in float32, the precision in which a checkpoint is read."""
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
