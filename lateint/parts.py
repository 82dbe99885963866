"""Parts of the engine by name: a part called `x` of kind `heads` is the module `lateint/heads/x.py`.

The folder is the registry: adding a part edits no list, and a part is imported on first use.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from lateint.errors import InputError
from lateint_store.part import Part, Setting, part

__all__ = ["Part", "Setting", "build", "names", "part"]


def names(kind: str) -> list[str]:
    """The parts of a kind (`heads`, `pools`, `compressors`, `train/losses`), sorted."""
    folder = Path(__file__).parent / kind
    return sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


def find(kind: str, name: str) -> type[Any]:
    """The class that implements a part: `maxsim` of kind `heads` is `lateint.heads.maxsim.MaxSim`.

    Raises: InputError if there is no such module; the message lists those there are.
    """
    if name not in names(kind):
        raise InputError(f"no {kind.rstrip('s')} is called {name!r}; there are: {', '.join(names(kind))}")
    module = importlib.import_module(f"lateint.{kind.replace('/', '.')}.{name}")
    found: type[Any] = module.PART
    return found


def build(kind: str, chosen: Part, *context: Any) -> Any:
    """Make the object that a `Part` describes: `PART(*context, **settings)`.

    Raises: InputError if the part is unknown or has a setting that its constructor does not take.
    """
    cls = find(kind, chosen.name)
    settings = dict(chosen.settings)
    known = [p.name for p in inspect.signature(cls).parameters.values() if p.kind is p.KEYWORD_ONLY]
    if unknown := sorted(set(settings) - set(known)):
        raise InputError(
            f"{kind.rstrip('s')} {chosen.name!r} has no setting {unknown[0]!r}; it takes: {', '.join(known)}"
        )
    return cls(*context, **settings)
