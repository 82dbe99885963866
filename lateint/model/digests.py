"""Digests of tensors, of JSON values and of files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lateint.errors import ModelError
from lateint_store.disk.files import regular_file


def plain_tensor(tensors: Mapping[str, object], name: str) -> Tensor:
    """Return a weight of a model's state. Raises: ModelError for one that a quantised module of torch has packed."""
    found = tensors[name]
    if not isinstance(found, Tensor):
        raise ModelError(
            f"weight {name} is no tensor but {type(found).__name__}, as of a quantised module; expected plain layers"
        )
    return found


def digest_tensors(tensors: Mapping[str, Tensor]) -> str:
    """BLAKE2b-256 over names, types, shapes and bytes, in name order. Raises: ModelError. Cost: about 1 GB/s."""
    state = hashlib.blake2b(digest_size=32)
    for name in sorted(tensors):
        tensor = plain_tensor(tensors, name).detach().cpu().contiguous()
        state.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)  # a view: embeddings are most of a small model
    return state.hexdigest()


def digest_json(data: object) -> str:
    """BLAKE2b-256 of canonical JSON."""
    return hashlib.blake2b(json.dumps(data, sort_keys=True, ensure_ascii=True).encode(), digest_size=32).hexdigest()


def digest_file(path: Path) -> str:
    """BLAKE2b-256 of the bytes of a file. Raises: OSError, also for a pipe, a device or a folder."""
    with regular_file(path) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
