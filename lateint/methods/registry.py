"""Parts of the engine by name: a part called `x` of kind `heads` is the module `lateint/heads/x.py`.

The folder is the registry: adding a part edits no list, and a part is imported on first use.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

from lateint.errors import InputError
from lateint_store.codecs.syntax import parse_part
from lateint_store.part import Part, Setting, part

NOT_PARTS = {"base", "inputs"}  # modules in the folders of parts that are no part

__all__ = ["Part", "Setting", "build", "names", "parse", "part"]


def names(kind: str) -> list[str]:
    """The parts of a kind (`heads`, `pools`, `compressors`, `train/losses`), sorted."""
    folder = Path(__file__).parent.parent / kind
    return sorted(file.stem for file in folder.glob("[!_]*.py") if file.stem not in NOT_PARTS)


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
    settings, known = dict(chosen.settings), _settings(kind, chosen.name)
    if unknown := sorted(set(settings) - set(known)):
        raise InputError(f"{kind.rstrip('s')} {chosen.name!r} has no setting {unknown[0]!r}; it takes: {', '.join(known)}")
    return find(kind, chosen.name)(*context, **settings)


def parse(kind: str, text: str) -> Part:
    """Read a part as the command line writes it: `name`, `name:key=value,...` or, first setting, `name:value`.

    Raises: InputError if the part is unknown, SpecError for settings that cannot be read.

    >>> str(parse("compressors", "bottleneck:128"))
    'bottleneck(width=128)'
    """
    return parse_part(text.strip(), lambda name: _settings(kind, name))


def _settings(kind: str, name: str) -> list[str]:
    """The settings that a part takes: the keyword-only parameters of its constructor."""
    parameters = inspect.signature(find(kind, name)).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
