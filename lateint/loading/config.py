"""Read `lateint.json`: the method of a checkpoint, and digests of all that it consists of."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lateint.errors import DamagedCheckpoint, InputError, LateintError, ModelError
from lateint.methods.method import Method
from lateint.model.activation import IDENTITY, Sigmoid, activation_from_json
from lateint.model.digests import digest_file, digest_json
from lateint.model.saving import BASE_FACTS, CONFIG, FORMAT, INT8_FORMAT
from lateint_store.disk.files import read_regular

_FIELDS, _ADDED = {"base", "format", "method", "tensors"}, {"activation", "digest", "files"}  # the latter can be absent


@dataclass(frozen=True, slots=True)
class Config:
    """Content of `lateint.json`.

    `base` None: the weights are in the folder itself; `facts`: digests of the base, by name, see `saving.BASE_FACTS`;
    `tensors`: digest of our own tensors; `files`: digests of the other files in the folder, by name;
    `activation`: what `Ranker.predict` applies to logits, see `model/activation.py`.
    """

    method: Method
    base: str | None
    facts: Mapping[str, str]
    tensors: str
    files: Mapping[str, str]
    activation: str | Sigmoid


def read_config(folder: Path) -> Config:
    """Read `lateint.json` and compare the digests of itself and of the files that it names.

    Raises: DamagedCheckpoint; ModelError for a format of a later version.
    """
    path = folder / CONFIG
    try:
        data = json.loads(read_regular(path))
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path} is not JSON: {error}") from error
    fields = set(data) if isinstance(data, dict) else set()
    if not _FIELDS <= fields <= _FIELDS | _ADDED:
        raise DamagedCheckpoint(
            f"{path} has fields {sorted(fields)}; expected base, format, method, tensors, "
            f"and optionally {', '.join(sorted(_ADDED))}"
        )
    if data["format"] not in (FORMAT, INT8_FORMAT):
        raise ModelError(
            f"{folder} has checkpoint format {data['format']}; this version reads {FORMAT} and {INT8_FORMAT}: update lateint"
        )
    with described(folder):
        config = _parsed(data)
    if (expected := data.pop("digest", None)) is not None and (found := digest_json(data)) != expected:
        raise DamagedCheckpoint(f"{path} has digest {found[:12]}, but says {str(expected)[:12]}; download it again")
    for name, digest in config.files.items():
        check_file(folder / name, digest)
    return config


def _parsed(data: Mapping[str, Any]) -> Config:
    """Check the type of every value. Raises: InputError and others."""
    base = data["base"] or {"name": None, "digest": None}
    facts, files = {key: value for key, value in base.items() if key != "name" and value is not None}, data.get("files", {})
    if base["name"] is not None and not isinstance(base["name"], str):
        raise InputError(f"base name {base['name']!r}; expected str or null")
    if unknown := sorted(set(facts) - set(BASE_FACTS)):
        raise InputError(f"base has the unknown field {unknown[0]!r}; expected {', '.join(BASE_FACTS)}")
    for key, value in {"tensors": data["tensors"], **facts, **files}.items():
        if not isinstance(value, str):
            raise InputError(f"digest of {key} is {value!r}; expected str")
    if foreign := [name for name in files if Path(name).name != name]:
        raise InputError(f"file name {foreign[0]!r}; expected a name in the folder of the checkpoint")
    activation = activation_from_json(data.get("activation", IDENTITY))
    return Config(Method.from_json(data["method"]), base["name"], facts, data["tensors"], files, activation)


def check_file(path: Path, expected: str) -> None:
    """Compare a file with its recorded digest. Raises: DamagedCheckpoint."""
    try:
        found = digest_file(path)
    except OSError as error:
        raise DamagedCheckpoint(f"{path} cannot be read: {error.strerror}") from error
    if found != expected:
        raise DamagedCheckpoint(f"{path} has digest {found[:12]}, but {CONFIG} says {expected[:12]}; download it again")


@contextmanager
def described(folder: Path, *, changed: bool = False) -> Iterator[None]:
    """Turn whatever odd values of `lateint.json` raise, here or in the parts that they configure, into a typed error.

    `changed`: True if a caller replaced some values; an InputError is then about these.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, LateintError) and (changed or not isinstance(error, InputError)):
            raise
        reason = error if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        raise DamagedCheckpoint(f"{folder / CONFIG} does not describe a method of this version: {reason}") from error
