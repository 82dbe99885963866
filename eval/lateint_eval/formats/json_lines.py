"""JSON Lines: one object per line, with checked access to its fields."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

from lateint_eval.formats.lines import decode
from lateint_eval.formats.records import Json
from lateint_store.errors import FormatError


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON object with its source and line, so that every error names the line."""

    source: str
    line: int
    data: Json

    def fail(self, reason: str) -> FormatError:
        """Return the error that names this line."""
        return FormatError(self.source, self.line, reason)

    def id(self, *keys: str) -> str:
        """Return the value of the first of `keys` that is present: a non-empty string, or an integer as a string."""
        key = next((key for key in keys if key in self.data), None)
        if key is None:
            raise self.fail(f"no {' or '.join(repr(key) for key in keys)} in the object")
        value = self.data[key]
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return checked_id(self._string(key, value), self.source, self.line, key)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a string; an absent or null key gives `default`, or an error without a default."""
        value = self.data.get(key)
        if value is None and default is not None:
            return default
        if value is None:
            raise self.fail(f"no {key!r} in the object")
        return self._string(key, value)

    def number(self, key: str) -> float:
        """Return a finite number."""
        value = self.data[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fail(f"{key!r} is {value!r}; expected a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise self.fail(f"{key!r} is not finite; expected a finite number")
        return number

    def _string(self, key: str, value: object) -> str:
        if not isinstance(value, str):
            raise self.fail(f"{key!r} is of type {type(value).__name__}; expected a string")
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise self.fail(f"{key!r} contains a lone surrogate, which is not valid Unicode text")
        return value


def checked_id(value: str, source: str, line: int, what: str) -> str:
    """Return `value` if it is not blank. Raises: FormatError."""
    if not value.strip():
        raise FormatError(source, line, f"{what} is empty")
    return value


def parse_record(raw: bytes, source: str, line: int) -> Record:
    """Parse one line into a `Record`. Raises: FormatError for invalid JSON, or a value that is not an object."""
    try:
        data = json.loads(decode(raw, source, line))
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        raise FormatError(source, line, f"broken JSON ({error})") from error
    if not isinstance(data, dict):
        raise FormatError(source, line, f"the line is a JSON {type(data).__name__}; expected an object")
    return Record(source, line, data)
