"""Parts of the engine by name: the head `x` is the module `lateint/heads/x.py`.

The folder is the registry: a new part needs no entry in a list, and a part is imported on first use.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from lateint.errors import InputError
from lateint_store.codecs.syntax import parse_part
from lateint_store.part import Part, Setting, part

if TYPE_CHECKING:
    from lateint.compressors.base import Compressor
    from lateint.heads.base import Head
    from lateint.pools.base import Pool
    from lateint.train.losses.base import Loss

NOT_PARTS = {"base", "inputs"}  # modules in part folders that are not parts

__all__ = ["Part", "Setting", "build", "names", "parse", "part"]


def names(kind: str) -> list[str]:
    """Return the sorted names of all parts of a kind: `heads`, `pools`, `compressors` or `train/losses`."""
    folder = Path(__file__).parent.parent / kind
    return sorted(file.stem for file in folder.glob("[!_]*.py") if file.stem not in NOT_PARTS)


def find(kind: str, name: str) -> type[Any]:
    """Return the class that implements a part: `find("heads", "maxsim")` is `lateint.heads.maxsim.MaxSim`.

    Raises: InputError if there is no such part; the message lists the available names.
    """
    if name not in names(kind):
        raise InputError(f"no {_label(kind)} is called {name!r}; there are: {', '.join(names(kind))}")
    module = importlib.import_module(f"lateint.{kind.replace('/', '.')}.{name}")
    cls: type[Any] = module.PART
    return cls


@overload
def build(kind: Literal["pools"], chosen: Part, *context: object) -> Pool: ...
@overload
def build(kind: Literal["compressors"], chosen: Part, *context: object) -> Compressor: ...
@overload
def build(kind: Literal["heads"], chosen: Part, *context: object) -> Head: ...
@overload
def build(kind: Literal["train/losses"], chosen: Part, *context: object) -> Loss: ...
def build(kind: str, chosen: Part, *context: object) -> Pool | Compressor | Head | Loss:
    """Build the object that a `Part` describes: `PART(*context, **settings)`.

    Raises: InputError if the part is unknown or its constructor does not accept one of the settings.
    """
    settings, known = dict(chosen.settings), _settings(kind, chosen.name)
    if unknown := sorted(set(settings) - set(known)):
        raise InputError(f"{_label(kind)} {chosen.name!r} has no setting {unknown[0]!r}; it takes: {', '.join(known)}")
    built: Pool | Compressor | Head | Loss = find(kind, chosen.name)(*context, **settings)
    return built


def parse(kind: str, text: str) -> Part:
    """Parse a part in command-line syntax: `name`, `name:key=value,...`, or `name:value` to set its first setting.

    Raises: InputError if the part is unknown, SpecError if its settings cannot be parsed.

    >>> str(parse("compressors", "bottleneck:128"))
    'bottleneck(width=128)'
    """
    return parse_part(text.strip(), lambda name: _settings(kind, name))


def _settings(kind: str, name: str) -> list[str]:
    """Return the names of a part's settings: the keyword-only parameters of its constructor."""
    parameters = inspect.signature(find(kind, name)).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def _label(kind: str) -> str:
    """Return what messages call one part of a kind."""
    return "loss" if kind == "train/losses" else kind.removesuffix("s")
