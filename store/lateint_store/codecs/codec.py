"""The protocols of codecs, and finding a codec by name.

There are three kinds, applied in this order: array -> array (`cast`, `int8`), exactly one array -> bytes (`raw`, `drive`),
bytes -> bytes (`zstd`, `checksum`). A codec is a frozen dataclass in `codecs/<name>.py`. Its fields are its JSON
configuration; its class is the capitalised name (`int8` -> `Int8`). To add a codec, add a file: there is no list to edit.
"""

from __future__ import annotations

import importlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from lateint_store import codecs
from lateint_store.arguments import check_kind
from lateint_store.errors import SpecError
from lateint_store.part import Part, part
from lateint_store.spec import Array, ArraySpec

Buffer = bytes | memoryview
Bound = npt.NDArray[np.float64]
Count = TypeVar("Count", int, npt.NDArray[np.int64])


@runtime_checkable
class ArrayCodec(Protocol):
    """Array -> array, row by row: the code of a row depends on that row alone, so many documents are coded at once."""

    name: ClassVar[str]
    kind: ClassVar[Literal["array"]]

    def resolve(self, spec: ArraySpec) -> ArraySpec:
        """The spec of `encode`'s result for an array of `spec`. Raises: SpecError if the codec cannot take it."""
        ...

    def decoded(self, spec: ArraySpec) -> ArraySpec:
        """The spec of `decode`'s result for input of `spec`: the same, or a narrower float dtype."""
        ...

    def encode(self, x: Array) -> Array:
        """Encode [r, w] into the shape and dtype of `resolve`. Raises: InputError for a value that does not fit."""
        ...

    def decode(self, y: Array, spec: ArraySpec) -> Array:
        """The nearest inverse of `encode`, whose input had `spec`. Raises: CodecError for impossible codes."""
        ...

    def lossless(self, spec: ArraySpec) -> bool:
        """True if decode(encode(x)) equals x for every x of `spec` that `encode` accepts."""
        ...

    def bound(self, x: Array) -> Bound:
        """Largest possible |x - decode(encode(x))| of each row of x [r, w]: float64 [r, 1]."""
        ...


@runtime_checkable
class LayoutCodec(Protocol):
    """Array -> bytes: lays out the numbers of one document, which it sees as a whole."""

    name: ClassVar[str]
    kind: ClassVar[Literal["layout"]]

    def resolve(self, spec: ArraySpec) -> None:
        """Raise SpecError if it cannot lay out arrays of `spec`."""
        ...

    def nbytes(self, spec: ArraySpec, rows: Count) -> Count:
        """Exact size in bytes of a document of `rows` rows; for int64 [n], of each of n documents."""
        ...

    def encode(self, matrix: Array) -> bytes:
        """Lay out [rows, columns]. Raises: InputError for a value that does not fit."""
        ...

    def decode(self, data: npt.NDArray[np.uint8], spec: ArraySpec, rows: npt.NDArray[np.int64]) -> Array:
        """Decode documents, of `nbytes` each and concatenated in `data`, into [sum(rows), columns] of the dtype of `spec`.

        The caller has checked the sizes. The result may share memory with `data`. Raises: CodecError for impossible codes.
        """
        ...

    def lossless(self, spec: ArraySpec) -> bool:
        """True if every document of `spec` that `encode` accepts decodes to equal numbers."""
        ...

    def bound(self, x: Array) -> Bound:
        """Largest possible error of each row of the document x [r, w]: float64 [r, 1]."""
        ...


@runtime_checkable
class BytesCodec(Protocol):
    """Bytes -> bytes. Lossless and bounded: `decode` never returns more than `limit` bytes."""

    name: ClassVar[str]
    kind: ClassVar[Literal["bytes"]]

    def encode(self, data: Buffer) -> bytes:
        """Encode the bytes of one document."""
        ...

    def decode(self, data: Buffer, limit: int) -> Buffer:
        """The inverse. Raises: CodecError if this codec did not write the bytes, or they decode to more than `limit` bytes."""
        ...

    def encoded_limit(self, size: int) -> int:
        """Upper bound on the size of `encode`'s result for at most `size` bytes."""
        ...


Codec = ArrayCodec | LayoutCodec | BytesCodec
_NOT_CODECS = {"codec", "pipeline", "syntax"}  # modules of this folder that are not codecs


def known_codecs() -> list[str]:
    """Names of all codecs, sorted: the modules of the folder `codecs/`."""
    folders = [Path(folder) for folder in codecs.__path__]
    modules = {path.stem for folder in folders for path in folder.glob("[a-z]*.py")}
    return sorted(modules - _NOT_CODECS)


def codec_class(name: str) -> type[Any]:
    """The class that implements a codec. Raises: SpecError listing the known names, if there is none."""
    if name not in known_codecs():
        raise SpecError(f"no codec {name!r}; known codecs: {', '.join(known_codecs())}")
    module = importlib.import_module(f"{codecs.__name__}.{name}")
    found: type[Any] = getattr(module, name.title().replace("_", ""))
    return found


def make_codec(chosen: Part) -> Codec:
    """Build a codec from its name and settings. Raises: SpecError for an unknown name, setting or value."""
    check_kind(chosen, "a codec among the parts", Part, "a part, such as lateint_store.part('int8')")
    cls = codec_class(chosen.name)
    allowed = [field.name for field in fields(cls)]
    unknown = sorted(set(dict(chosen.settings)) - set(allowed))
    if unknown:
        known = ", ".join(allowed) or "none"
        raise SpecError(f"codec {chosen.name!r} has no setting {unknown[0]!r}; its settings: {known}")
    try:
        codec: Codec = cls(**dict(chosen.settings))
    except TypeError as error:
        raise SpecError(f"codec {chosen.name!r} needs its settings {', '.join(allowed)}: {error}") from error
    return codec


def codec_part(codec: Codec) -> Part:
    """The codec's name and all its settings, defaults included."""
    return part(codec.name, **asdict(codec))  # type: ignore[call-overload]


def check_seed(codec: str, seed: object) -> None:
    """Raise SpecError unless a seed is an unsigned 64-bit integer."""
    if type(seed) is not int or not 0 <= seed < 1 << 64:
        raise SpecError(f"codec {codec!r}: seed={seed!r} is not a whole number from 0 to 2**64 - 1")


def check_choice(codec: str, setting: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise SpecError unless `value` equals one of `choices` and has its type."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        listed = ", ".join(map(repr, choices)) if len(choices) <= 8 else f"{choices[0]!r} to {choices[-1]!r}"
        raise SpecError(f"codec {codec!r}: {setting}={value!r} is not one of {listed}")
