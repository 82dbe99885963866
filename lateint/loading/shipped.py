"""Checkpoints that ship with the package."""

from __future__ import annotations

import os
from pathlib import Path

from lateint.model.saving import CONFIG

CHECKPOINTS = Path(__file__).parent.parent / "checkpoints"  # the deltas that ship with the package

DEFAULT = "latent"  # the one that "default" stands for
FORMER = {"default": "evidence"}  # names that stores may have recorded, from before the default recorded its own


def shipped(name_or_path: str | os.PathLike[str]) -> tuple[str | os.PathLike[str], Path | None]:
    """A name, "default" by what it stands for, and the folder of that name that ships with the package, if there is one."""
    name = DEFAULT if name_or_path == "default" else name_or_path
    folder = CHECKPOINTS / name
    return name, folder if (folder / CONFIG).is_file() else None
