"""Tokenise texts into padded batches, with the special tokens of each side; safe to use from several threads.

A Hugging Face tokenizer stores its truncation settings as mutable state. Shared between threads, it silently truncates at
the wrong length. Here the raw tokenizer is configured once, and this module adds truncation and special tokens.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from lateint.errors import InputError, ModelError
from lateint.methods.method import Layout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

PROBES = (
    "The quick brown fox jumps over 13 lazy dogs.",
    "naïve café №5 — 東京タワー, Ελλάδα, привет! 🦊",
    "def f(x):\n\treturn x**2  # e\u0301 vs \u00e9",
)
"""Fixed texts, whose token ids and arrays are compared."""
_RULES = ("normalizer", "pre_tokenizer", "model", "added_tokens")  # of a tokenizer.json; the rest moves no token id
_CHARACTERS_PER_TOKEN = 250  # texts are cut to max_length times this before tokenising; no real token is as long


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of the special tokens before and after a text, and the segment of the whole side."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    segment: int


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """A batch of token ids, padded on the right, with segments, positions and a mask.

    ids, segments, positions [n, t] int64 (positions counted from 0); mask [n, t] bool or None if nothing is padded.
    """

    ids: Tensor
    segments: Tensor
    positions: Tensor
    mask: Tensor | None

    @property
    def lengths(self) -> list[int]:
        """The number of real tokens of each text."""
        n, t = self.ids.shape
        return [t] * n if self.mask is None else [int(x) for x in self.mask.sum(dim=1)]

    def to(self, device: torch.device) -> TokenBatch:
        """Return a copy on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return TokenBatch(self.ids.to(device), self.segments.to(device), self.positions.to(device), mask)


class TokenisedTexts(NamedTuple):
    """The token ids of each text, and whether its end was cut off."""

    rows: list[list[int]]
    cut: list[bool]


class TextEncoder:
    """Tokenises texts and applies layouts. Safe to share between threads: it is immutable after construction."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(f"{type(tokenizer).__name__} is not a fast tokenizer; add a tokenizer.json to the checkpoint")
        backend = cast("PreTrainedTokenizerFast", tokenizer).backend_tokenizer
        raw = type(backend).from_str(backend.to_str())
        raw.no_truncation()
        raw.no_padding()
        self.raw = raw
        self._source = tokenizer  # used by `save` only
        self.pad = cast("int", tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else 0
        self.templates = _templates(tokenizer, self._ids(["a"])[0], self._ids(["b"])[0])

    @cached_property
    def rules(self) -> str:
        """Digest of every rule that turns a text into token ids: normaliser, pre-tokeniser, model, vocabulary, added tokens.

        It covers what the tokenizer's file means, not how it is written: neither the order of keys nor a decoder counts.
        """
        parts = json.loads(self.raw.to_str())
        canonical = json.dumps(_stated({name: parts[name] for name in _RULES}), sort_keys=True)
        return hashlib.blake2b(canonical.encode(), digest_size=32).hexdigest()

    @property
    def behaviour(self) -> str:
        """Digest of vocabulary, templates, padding and the token ids of fixed texts; equal for every version of a library."""
        templates = {name: [t.before, t.after, t.segment] for name, t in sorted(self.templates.items())}
        facts = [self._ids(PROBES), self.pad, templates, sorted(self.raw.get_vocab().items())]
        return hashlib.blake2b(json.dumps(facts).encode(), digest_size=32).hexdigest()

    def save(self, folder: Path) -> set[str]:
        """Write the tokenizer files of transformers to a folder. Returns: their names."""
        return {Path(name).name for name in self._source.save_pretrained(folder) if Path(name).is_file()}

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        with clear_panics():
            return [encoding.ids for encoding in self.raw.encode_batch(list(texts), add_special_tokens=False)]

    def token_id(self, token: str) -> int:
        """Return the id of a token such as `[MASK]`. Raises: ModelError if it is not in the vocabulary."""
        token_id = self.raw.token_to_id(token)
        if token_id is None:
            raise ModelError(f"the tokenizer has no token {token!r}; choose another marker, fill or trim in the layout")
        return int(token_id)

    def tokens(self, texts: Sequence[str], layout: Layout) -> list[list[int]]:
        """Return the token ids of each text, as `tokenise` does."""
        return self.tokenise(texts, layout).rows

    def tokenise(self, texts: Sequence[str], layout: Layout) -> TokenisedTexts:
        """Return the token ids of each text, with special tokens, truncated to `layout.max_length`, and what was truncated.

        Raises: InputError for a text that is not valid Unicode (a lone surrogate); the message gives its index.
        """
        special, room = self.templates[layout.template], self.room(layout)
        before = special.before + ((self.token_id(layout.marker),) if layout.marker else ())
        most = layout.max_length * _CHARACTERS_PER_TOKEN
        fill = [self.token_id(layout.fill)] if layout.fill else []
        trim = self.token_id(layout.trim) if layout.trim else None
        n_prefix = self._prefix_tokens(layout)
        room += n_prefix
        whole = [layout.prefix + _checked(text, f"text {i}")[:most] for i, text in enumerate(texts)]
        rows, cut = [], []
        for text, ids in zip(texts, self._ids(whole), strict=True):
            kept = ids[:-1] if len(ids) > n_prefix + 1 and ids[-1] == trim else ids  # keep a text that is only this token
            cut.append(len(kept) > room or _loses_words(text, most))
            rows.append([*before, *kept[:room], *special.after])
            rows[-1] += fill * (layout.max_length - len(rows[-1]))
        return TokenisedTexts(rows, cut)

    def room(self, layout: Layout) -> int:
        """Return how many tokens of a text a layout keeps. Raises: InputError if there is no room for any."""
        special = self.templates[layout.template]
        taken = len(special.before) + bool(layout.marker) + self._prefix_tokens(layout) + len(special.after)
        if layout.max_length <= taken:
            raise InputError(f"max_length {layout.max_length} leaves no room for text; expected at least {taken + 1}")
        return layout.max_length - taken

    def _prefix_tokens(self, layout: Layout) -> int:
        """Return how many tokens the layout's prefix takes. Raises: InputError if it does not end in white space.

        A word cannot take a token across white space, so that the same tokens come before every text.
        """
        if not layout.prefix:
            return 0
        words = _checked(layout.prefix, "prefix").rstrip()
        if words == layout.prefix:
            raise InputError(f"prefix {layout.prefix!r} of a layout does not end in white space; expected e.g. {words + ' '!r}")
        return len(self._ids([words])[0])

    def text_masks(self, rows: Sequence[Sequence[int]], layout: Layout) -> Tensor:
        """Return which tokens of rows of equal length are text: bool [n, t], not special tokens, marker, prefix and fill."""
        special, fill = self.templates[layout.template], self.token_id(layout.fill) if layout.fill else None
        start = len(special.before) + bool(layout.marker) + self._prefix_tokens(layout)
        masks = torch.zeros(len(rows), len(rows[0]), dtype=torch.bool, device="cpu")
        for mask, row in zip(masks, rows, strict=True):
            end = len(row)
            while end > start and row[end - 1] == fill:
                end -= 1
            mask[start : end - len(special.after)] = True
        return masks

    def attended(self, rows: Sequence[Sequence[int]], layout: Layout) -> Tensor | None:
        """Return which tokens of rows of equal length are attended to: bool [n, t], False for fill; None if all are."""
        if not layout.fill or layout.attend_to_fill:
            return None
        is_text = torch.tensor(rows, device="cpu") != self.token_id(layout.fill)
        return is_text.flip(1).cumsum(1).flip(1) > 0  # a fill token inside the text stands before other tokens

    def batch(self, rows: Sequence[Sequence[int]], layout: Layout, start: int = 0) -> TokenBatch:
        """Pad lists of token ids to one batch. Positions count from `start`."""
        return pad_batch(rows, self.pad, self.segment(layout), start)

    def segment(self, layout: Layout) -> int:
        """Return the segment of a side: the layout's, or else the one in the tokenizer's template."""
        return self.templates[layout.template].segment if layout.segment is None else layout.segment


@contextmanager
def clear_panics() -> Iterator[None]:
    """Turn a panic of the tokenizers library, which is no `Exception`, into a typed error. Raises: ModelError."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # the class cannot be imported
            raise
        raise ModelError(f"the tokenizer failed inside its library: {error}; its file is damaged, save it again") from error


def pad_batch(rows: Sequence[Sequence[int]], pad: int, segment: int, start: int) -> TokenBatch:
    """Pad lists of token ids on the right with `pad`. Positions count from `start`; all tokens have one `segment`."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    lengths = torch.tensor([len(row) for row in rows], device="cpu")
    columns = torch.arange(longest, device="cpu")
    mask = None if int(lengths.min()) == longest else columns[None, :] < lengths[:, None]
    segments = torch.full((len(rows), longest), segment, dtype=torch.int64, device="cpu")
    return TokenBatch(torch.from_numpy(ids), segments, (columns + start).expand(len(rows), -1), mask)


def _stated(value: object) -> object:
    """Drop settings that are null or false, so that a later library with further settings gives the same value."""
    if isinstance(value, dict):
        return {name: _stated(one) for name, one in value.items() if one is not None and one is not False}
    return [_stated(one) for one in value] if isinstance(value, list) else value


def _loses_words(text: str, length: int) -> bool:
    """True if a word starts behind the first `length` characters: it was not tokenised.

    The rest of a word that is longer than any token does not count.
    """
    if len(text) <= length:
        return False
    inside = not (text[length - 1].isspace() or text[length].isspace())
    return len(text[length:].split(maxsplit=1)) > inside


def _checked(text: str, what: str) -> str:
    if not isinstance(text, str):
        raise InputError(f"{what} is a {type(text).__name__}; expected str")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{what} has a lone surrogate at character {error.start}; decode it as valid Unicode") from error
    return text


def _templates(tokenizer: PreTrainedTokenizerBase, first: list[int], second: list[int]) -> dict[str, SpecialTokens]:
    """Derive the special tokens of each template from the tokenizer's output for one text and for a pair of texts."""
    single = tokenizer("a")["input_ids"]
    pair = tokenizer("a", "b")
    ids = pair["input_ids"]
    # If a tokenizer returns no segments by default, every tool uses zeros; so do we.
    segments = pair.get("token_type_ids", [0] * len(ids))
    start = _find(single, first, 0)
    before, after = tuple(single[:start]), tuple(single[start + len(first) :])
    start_1 = _find(ids, first, 0)
    start_2 = _find(ids, second, start_1 + len(first))
    between = tuple(ids[start_1 + len(first) : start_2])
    if tuple(ids[:start_1]) != before or between[: len(after)] != after:
        raise ModelError(f"cannot split the pair template {ids}: it does not start with the single-text template {single}")
    tail = tuple(ids[start_2 + len(second) :])
    return {
        "alone": SpecialTokens(before, after, 0),
        "first": SpecialTokens(before, after, segments[start_1]),
        "second": SpecialTokens(between[len(after) :], tail, segments[start_2]),
    }


def _find(ids: list[int], part: list[int], start: int) -> int:
    """Return the index of the first occurrence of `part` in `ids` from `start` on."""
    for i in range(start, len(ids) - len(part) + 1):
        if part and ids[i : i + len(part)] == part:
            return i
    raise ModelError("cannot find a probe text in the tokenizer's template; does its pre-tokenizer depend on the position?")
