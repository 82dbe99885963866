"""The command line's syntax for codecs: `states=cast:float16+zstd;vector=int8:scale=float16`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields

from lateint_store.arguments import as_list, check_kind, check_text
from lateint_store.codecs.codec import codec_class, make_codec
from lateint_store.errors import SpecError
from lateint_store.part import Part, Setting, part

_EXAMPLE = "states=cast:float16+zstd;vector=int8"


def parse_codecs(text: str) -> dict[str, tuple[Part, ...]]:
    """Parse `array=codec+codec;array=codec`. A codec is `name`, `name:key=value,...` or `name:value` (its first setting).

    >>> parse_codecs("vector=int8")
    {'vector': (Part(name='int8', settings=()),)}

    Raises: SpecError naming the piece that cannot be read, an unknown codec or an unknown setting; InputError for no text.
    """
    check_text(text, "codecs")
    found: dict[str, tuple[Part, ...]] = {}
    for piece in filter(None, (piece.strip() for piece in text.split(";"))):
        name, equals, chain = (side.strip() for side in piece.partition("="))
        if not equals or not name.isidentifier() or not chain:
            raise SpecError(f"cannot read codecs {piece!r}; expected something like {_EXAMPLE!r}")
        if name in found:
            raise SpecError(f"codecs of array {name!r} are given twice in {text!r}")
        found[name] = tuple(_parse_codec(word.strip()) for word in chain.split("+"))
    if not found:
        raise SpecError(f"no codecs in {text!r}; expected something like {_EXAMPLE!r}")
    return found


def format_codecs(codecs: Mapping[str, tuple[Part, ...]]) -> str:
    """Format codecs such that `parse_codecs` returns equal ones. Raises: InputError."""
    check_kind(codecs, "codecs", Mapping, "a mapping from array names to parts, as parse_codecs returns it")
    chains = {name: as_list(parts, f"codecs[{name!r}]", "parts") for name, parts in codecs.items()}
    return ";".join(f"{name}={'+'.join(map(_format_codec, parts))}" for name, parts in chains.items())


def parse_part(word: str, settings_of: Callable[[str], Sequence[str]]) -> Part:
    """Parse one part: `name`, `name:key=value,...` or `name:value` (its first setting).

    `settings_of` lists the settings of a name and raises for an unknown name.
    Raises: SpecError naming the setting that cannot be read.
    """
    name, colon, rest = word.partition(":")
    allowed = settings_of(name)
    settings: dict[str, Setting] = {}
    for index, item in enumerate(rest.split(",") if colon else []):
        key, equals, value = item.partition("=")
        if not equals:
            if index > 0 or not allowed:
                raise SpecError(f"cannot read setting {item!r} of {word!r}; expected name:key=value,key=value")
            key, value = allowed[0], item
        if key.strip() in settings:
            raise SpecError(f"setting {key.strip()!r} is given twice in {word!r}; expected each setting once")
        settings[key.strip()] = _parse_value(value.strip())
    return part(name, **settings)


def _parse_codec(word: str) -> Part:
    """Parse one codec and check its settings."""
    chosen = parse_part(word, lambda name: [field.name for field in fields(codec_class(name))])
    make_codec(chosen)
    return chosen


def _parse_value(text: str) -> Setting:
    """Parse an integer, `true`, `false` or a word."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        return text


def _format_codec(chosen: Part) -> str:
    """Format one codec, its settings by name."""
    check_kind(chosen, "one of codecs", Part, "a part, such as lateint_store.part('int8')")
    values = [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in chosen.settings]
    return f"{chosen.name}:{','.join(values)}" if values else chosen.name
