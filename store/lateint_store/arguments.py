"""Check what callers pass. Every error names the argument, the value and what is expected.

Python lets a str stand where a list of str is meant, and then goes letter by letter. A frame of pandas iterates over its
column names, a series indexes by label, a generator is empty the second time, and a missing value formats as the word "nan".
So each public call reads such an argument once, here.
"""

from __future__ import annotations

import errno
import operator
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import TypeVar

from lateint_store.errors import InputError

T = TypeVar("T")

LARGEST = (1 << 63) - 1  # what a whole number of 64 bits holds, as numpy, torch and LMDB take it
_MOST_THREADS = 4096
# Everything that moves a cursor, colours, renames a window or reorders text: C0 and C1 controls except tab and line end,
# Unicode's line separators, direction marks and overrides, and surrogates, which no encoding holds.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]*://")
_SHOWN = 60  # characters of a value in a message
_DIGITS = 18  # of a number in a text: it fits into 64 bits, and Python reads no number of some thousand digits


def escaped(text: str) -> str:
    """Escape the control characters of a text as JSON does, so that a terminal shows it and obeys nothing in it."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown(value: object) -> str:
    """Return type and value, cut to a part of its first line, for a message."""
    text = repr(value).partition("\n")[0]
    return f"a {type(value).__name__}, {text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}"


def check_iterable(values: object, name: str, of: str, *, table: bool = False) -> None:
    """Refuse what is no list of items, or iterates over something else: a str, bytes, a mapping, a frame, a single item.

    `of`: what the items are; `table`: a two-dimensional array is a list of rows. Raises: InputError.
    """
    if isinstance(values, str | bytes | bytearray):
        raise InputError(f"{name} is {shown(values)}; expected a list of {of}, such as [{repr(values)[:_SHOWN]}]")
    dimensions = getattr(values, "ndim", 1)
    frame = dimensions == 2 and not (table and type(values).__module__ == "numpy")
    if isinstance(values, Mapping) or not isinstance(values, Iterable) or dimensions not in (1, 2) or frame:
        raise InputError(f"{name} is a {type(values).__name__}; expected a list of {of}, or another iterable of them")


def as_list(values: Iterable[T], name: str, of: str, *, table: bool = False) -> list[T]:
    """Read an argument once, by position, as `check_iterable` allows it. Raises: InputError."""
    check_iterable(values, name, of, table=table)
    return list(values)


def as_strings(values: Iterable[str], name: str, of: str = "ids") -> list[str]:
    """Read a list of str once. Raises: InputError naming the item that is no str."""
    found = as_list(values, name, of)
    if not set(map(type, found)) <= {str}:  # subclasses of str, such as numpy's, take the slower check
        for index, value in enumerate(found):
            check_text(value, f"{name}[{index}]")
    return found


def check_text(value: object, name: str) -> None:
    """Refuse what is no str; a missing value must not become a word. Raises: InputError."""
    if isinstance(value, str):
        return
    missing = str(value) in ("None", "nan", "<NA>", "NaT")
    hint = '; a missing value: drop it, or fill it in first, for example with fillna("")' if missing else ""
    raise InputError(f"{name} is {shown(value)}; expected str{hint}")


def as_count(value: int, name: str, least: int = 1, most: int = LARGEST) -> int:
    """Return a whole number from `least` to `most`, from any integer type but bool. Raises: InputError for others."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{name}={value!r}; expected at least {least}, a whole number")
    if number > most:
        raise InputError(f"{name}={number}; expected at most {most}")
    return number


def as_threads(value: int, name: str = "threads") -> int:
    """Return a number of CPU threads. Raises: InputError for more than a process can start."""
    return as_count(value, name, most=_MOST_THREADS)


def parse_count(text: str) -> int | None:
    """Return the number that a text writes in at most 18 decimal digits; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else None


def as_shard(shard: object) -> tuple[int, int]:
    """Return a shard (i, n): the windows k of a source with k % n == i. Raises: InputError."""
    if not isinstance(shard, tuple | list) or len(shard) != 2:
        raise InputError(f"shard is {shown(shard)}; expected a pair (i, n) with 0 <= i < n")
    number, of = as_count(shard[0], "shard[0]", 0), as_count(shard[1], "shard[1]")
    if number >= of:
        raise InputError(f"shard {number}/{of} is not i/n with 0 <= i < n")
    return number, of


def as_path(path: str | os.PathLike[str], name: str = "path", expected: str = "the path of a folder") -> Path:
    """Return a path.

    Raises: InputError for what is none, for an empty one, which would be the current folder, and for one that no file can
    have: with a NUL character, with bytes that are not UTF-8, or longer than the system allows.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or not text:
        raise InputError(f"{name} is {shown(path)}; expected {expected}, as str or Path")
    if is_url(text):
        raise InputError(
            f"{name} is {shown(text)}, a URL; expected {expected}: `lateint store fetch URL FOLDER` makes one of it"
        )
    try:
        text.encode()
        os.lstat(text)
    except ValueError as error:
        raise InputError(f"{name} is {shown(text)}, which no file can be called: {error}; expected {expected}") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise InputError(f"{name} is {shown(text)}, which is too long for a file; expected {expected}") from error
    return Path(path)


def is_url(value: object) -> bool:
    """True for a text that begins with a scheme and `://`."""
    return isinstance(value, str) and _URL.match(value) is not None


def check_kind(value: object, name: str, kind: type | UnionType, expected: str) -> None:
    """Refuse a value of another type. `expected`: what to pass, for the message. Raises: InputError."""
    if not isinstance(value, kind):
        raise InputError(f"{name} is {shown(value)}; expected {expected}")


def check_choice(value: object, name: str, *choices: str) -> None:
    """Refuse what is none of these words. Raises: InputError."""
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"{name}={value!r}; expected {', '.join(map(repr, choices[:-1]))} or {choices[-1]!r}")
