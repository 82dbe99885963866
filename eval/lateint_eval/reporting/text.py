"""Paragraphs of Markdown in lines of bounded length."""

from __future__ import annotations

import textwrap

_WIDTH = 120


def wrapped(text: str, indent: str = "") -> list[str]:
    """A paragraph in lines of at most 120 characters, none broken inside a word; `indent` begins all but the first."""
    whole = text.replace(" %", "\u00a0%")  # a number stays with its unit
    lines = textwrap.wrap(whole, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]
