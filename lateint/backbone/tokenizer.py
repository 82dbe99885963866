"""From text to token blocks: thread-safe tokenisation, and the special tokens of each side.

A shared Hugging Face tokenizer truncates wrongly under threads without an error, because truncation is state inside it.
Here its raw tokenizer is configured once and never again; truncation and special tokens are added by us.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lateint.errors import InputError, ModelError
from lateint.methods.method import Layout

CHARACTERS_A_TOKEN = 250  # text beyond max_length times this is cut before tokenising; no real token is as long


@dataclass(frozen=True, slots=True)
class Wrap:
    """The special tokens around a text: ids before and after it, and the segment of each part."""

    before: tuple[int, ...]
    after: tuple[int, ...]
    segment: int


@dataclass(frozen=True, slots=True)
class TokenBatch:
    """A padded batch of token ids with segments, positions and a mask; pads are on the right.

    ids, segments, positions [n, t] int64 (positions counted from 0); mask [n, t] bool or None if nothing is padded.
    """

    ids: Tensor
    segments: Tensor
    positions: Tensor
    mask: Tensor | None

    @property
    def lengths(self) -> list[int]:
        """Real tokens of each text."""
        n, t = self.ids.shape
        return [t] * n if self.mask is None else [int(x) for x in self.mask.sum(dim=1)]

    def to(self, device: torch.device) -> TokenBatch:
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return TokenBatch(self.ids.to(device), self.segments.to(device), self.positions.to(device), mask)


class TextEncoder:
    """Tokenises texts and lays them out. Safe to share between threads: nothing in it changes after construction."""

    def __init__(self, tokenizer: Any) -> None:
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(f"{type(tokenizer).__name__} is no fast tokenizer; a tokenizer.json is needed")
        raw = type(tokenizer.backend_tokenizer).from_str(tokenizer.backend_tokenizer.to_str())
        raw.no_truncation()
        raw.no_padding()
        self.raw = raw
        self._source = tokenizer  # only ever used to save it
        self.pad = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0)
        self.wraps = _wraps(tokenizer, self._ids(["a"])[0], self._ids(["b"])[0])

    def save(self, folder: Path) -> None:
        """Write the tokenizer's files as transformers does."""
        self._source.save_pretrained(folder)

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.raw.encode_batch(list(texts), add_special_tokens=False)]

    def token_id(self, token: str) -> int:
        """The id of a token such as `[MASK]`. Raises: ModelError if the vocabulary lacks it."""
        found = self.raw.token_to_id(token)
        if found is None:
            raise ModelError(f"the tokenizer has no token {token!r}; choose another marker, fill or trim in the layout")
        return int(found)

    def tokens(self, texts: Sequence[str], layout: Layout) -> list[list[int]]:
        """Token ids of each text in its layout, special tokens included, cut to `layout.max_length`.

        Raises: InputError for a text that is no valid Unicode (a lone surrogate); names its place in the list.
        """
        wrap = self.wraps[layout.template]
        before = wrap.before + ((self.token_id(layout.marker),) if layout.marker else ())
        room = layout.max_length - len(before) - len(wrap.after)
        if room < 1:
            raise InputError(f"max_length {layout.max_length} leaves no room for text; expected more than {-room}")
        cut = [_checked(text, i)[: layout.max_length * CHARACTERS_A_TOKEN] for i, text in enumerate(texts)]
        fill = [self.token_id(layout.fill)] if layout.fill else []
        trim = self.token_id(layout.trim) if layout.trim else None
        rows = []
        for ids in self._ids(cut):
            kept = ids[:-1] if len(ids) > 1 and ids[-1] == trim else ids  # a text of that token alone stays
            rows.append([*before, *kept[:room], *wrap.after])
            rows[-1] += fill * (layout.max_length - len(rows[-1]))
        return rows

    def text_mask(self, length: int, layout: Layout) -> Tensor:
        """Which tokens of a row of `length` are text: bool [length], False for the special ones around it."""
        wrap = self.wraps[layout.template]
        places = torch.arange(length)
        return (places >= len(wrap.before) + bool(layout.marker)) & (places < length - len(wrap.after))

    def is_cut(self, tokens: Sequence[int], layout: Layout) -> bool:
        """Whether a text probably lost its end: it fills the layout to the last token."""
        return len(tokens) >= layout.max_length and not layout.fill

    def block(self, rows: Sequence[Sequence[int]], layout: Layout, start: int = 0) -> TokenBatch:
        """Pad token rows to one batch; positions count from `start`."""
        return pad_block(rows, self.pad, self.segment(layout), start)

    def segment(self, layout: Layout) -> int:
        """The segment of a side: the layout's own choice, else the tokenizer's template."""
        return self.wraps[layout.template].segment if layout.segment is None else layout.segment


def pad_block(rows: Sequence[Sequence[int]], pad: int, segment: int, start: int) -> TokenBatch:
    """Pad rows of token ids on the right."""
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    lengths = torch.tensor([len(row) for row in rows])
    columns = torch.arange(longest)
    mask = None if int(lengths.min()) == longest else columns[None, :] < lengths[:, None]
    segments = torch.full((len(rows), longest), segment, dtype=torch.int64)
    return TokenBatch(torch.from_numpy(ids), segments, (columns + start).expand(len(rows), -1), mask)


def _checked(text: str, place: int) -> str:
    if not isinstance(text, str):
        raise InputError(f"text {place} is a {type(text).__name__}; expected str")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"text {place} holds a lone surrogate at character {error.start}; decode it properly first") from error
    return text


def _wraps(tokenizer: Any, first: list[int], second: list[int]) -> dict[str, Wrap]:
    """Read the special tokens of the single and the pair template off the tokenizer itself."""
    single = tokenizer("a")["input_ids"]
    pair = tokenizer("a", "b")
    ids = pair["input_ids"]
    # A tokenizer that yields no segments by default leaves them at zero in every tool, so they are zero here too.
    segments = pair.get("token_type_ids", [0] * len(ids))
    at = _find(single, first, 0)
    before, after = tuple(single[:at]), tuple(single[at + len(first) :])
    one = _find(ids, first, 0)
    two = _find(ids, second, one + len(first))
    between = tuple(ids[one + len(first) : two])
    if tuple(ids[:one]) != before or between[: len(after)] != after:
        raise ModelError(f"the pair template {ids} does not begin like the single template {single}; cannot be split")
    tail = tuple(ids[two + len(second) :])
    return {
        "alone": Wrap(before, after, 0),
        "first": Wrap(before, after, segments[one]),
        "second": Wrap(between[len(after) :], tail, segments[two]),
    }


def _find(ids: list[int], part: list[int], start: int) -> int:
    for at in range(start, len(ids) - len(part) + 1):
        if part and ids[at : at + len(part)] == part:
            return at
    raise ModelError("cannot find a probe text in the tokenizer's own template; is its pre-tokenizer position-dependent?")
