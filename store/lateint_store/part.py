"""`Part`: the name of an exchangeable piece (codec, pool, compressor, head or loss) with its settings. Pure data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lateint_store.arguments import as_list, check_kind, shown
from lateint_store.errors import InputError

Setting = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Part:
    """A name and JSON-able settings; the name is that of the module that implements it.

    Settings are a sorted tuple of pairs, so parts are hashable and equal parts print alike.
    """

    name: str
    settings: tuple[tuple[str, Setting], ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise InputError(f"part name {self.name!r} is not an identifier; expected a module name such as 'zstd'")

    def to_json(self) -> dict[str, Any]:
        """The form in manifests and lateint.json: `{"name": ..., "configuration": {...}}`."""
        return {"name": self.name, "configuration": dict(self.settings)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Part:
        """The inverse of `to_json`. Raises: InputError for unknown keys and values of other types."""
        settings = data.get("configuration", {}) if isinstance(data, dict) else None
        if not isinstance(settings, dict) or set(data) - {"name", "configuration"} or not isinstance(data.get("name"), str):
            raise InputError(f"not a part: {json.dumps(data)}; expected {{'name': ..., 'configuration': {{...}}}}")
        for key, value in settings.items():
            if not isinstance(value, bool | int | float | str | None):
                raise InputError(f"part {data['name']!r}: {key}={value!r}; expected a number, a text, true, false or null")
        return cls(data["name"], tuple(sorted(settings.items())))

    def __str__(self) -> str:
        """`name` or `name(key=value, ...)`."""
        inside = ", ".join(f"{key}={value!r}" for key, value in self.settings)
        return f"{self.name}({inside})" if inside else self.name


def part(name: str, **settings: Setting) -> Part:
    """Build a `Part`.

    >>> str(part("cast", dtype="float16"))
    "cast(dtype='float16')"
    """
    return Part(name, tuple(sorted(settings.items())))


def check_parts(codecs: Mapping[str, Iterable[Part]]) -> None:
    """Refuse codecs that are no mapping from array names to parts. Raises: InputError."""
    check_kind(codecs, "codecs", Mapping, "parts by array name: lateint_store.parse_codecs('vector=int8')")
    for name, parts in codecs.items():
        if odd := [step for step in as_list(parts, f"codecs[{name!r}]", "parts") if not isinstance(step, Part)]:
            raise InputError(f"codecs[{name!r}] holds {shown(odd[0])}; expected parts: lateint_store.part('int8')")
