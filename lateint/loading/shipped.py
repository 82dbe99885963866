"""Checkpoints that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path

from lateint.model.saving import CONFIG

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"
DEFAULT = "latent"  # the checkpoint that "default" loads
FORMER_NAMES = {"default": "evidence"}  # older stores recorded "default" when it loaded this checkpoint


def shipped(name_or_path: str | os.PathLike[str]) -> tuple[str | os.PathLike[str], Path | None]:
    """Return the name, with "default" resolved, and the folder of the shipped checkpoint of that name, if there is one."""
    name = DEFAULT if name_or_path == "default" else name_or_path
    folder = CHECKPOINTS / name
    return name, folder if (folder / CONFIG).is_file() else None
