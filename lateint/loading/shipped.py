"""Checkpoints that ship with the package, and which of two meanings a name has."""

from __future__ import annotations

import os
import warnings
from contextlib import suppress
from pathlib import Path

from lateint.errors import InputError
from lateint.model.saving import CONFIG

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
DEFAULT = "latent"  # the checkpoint that "default" loads
FORMER_NAMES = {"default": "evidence"}  # older stores recorded "default" when it loaded this checkpoint


def shipped(name_or_path: str | os.PathLike[str]) -> tuple[str, Path | None]:
    """Return the name that a model goes by, and the folder of the shipped checkpoint that is meant; None for any other.

    A path, and a bare name that is a folder with a checkpoint here, mean this folder. If a shipped checkpoint has that name
    too, a warning says so, and the model goes by its path; "default" is then refused.
    Raises: InputError.
    """
    name = os.fspath(name_or_path)
    if Path(name).parent == CHECKPOINTS:  # the path of a shipped checkpoint
        name = Path(name).name
        return name, shipped_folder(name)
    folder = None if Path(name).name != name else shipped_folder(DEFAULT if name == "default" else name)
    if folder is None or not isinstance(name_or_path, str):
        return name, None
    if not any((Path(name) / file).is_file() for file in (CONFIG, "config.json")):
        return folder.name, folder
    here = f".{os.sep}{name}"
    if name == "default":
        raise InputError(
            f"'default' is the checkpoint {DEFAULT!r} that ships with lateint, and a folder here; name {here!r}, or {DEFAULT!r}"
        )
    warnings.warn(f"{name!r} is the folder {here} here, not the checkpoint of that name in {CHECKPOINTS}", stacklevel=3)
    return here, None


def shipped_folder(name: str) -> Path | None:
    """Return the folder of the shipped checkpoint of this name; None if there is none."""
    folder = CHECKPOINTS / name
    with suppress(OSError):  # a name that no file can have
        if folder.parent == CHECKPOINTS and (folder / CONFIG).is_file():
            return folder
    return None
