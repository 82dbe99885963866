"""Paragraphs of Markdown, wrapped to a fixed width."""

from __future__ import annotations

import textwrap

_WIDTH = 120


def wrapped(text: str, indent: str = "") -> list[str]:
    """Wrap a paragraph at 120 characters without breaking words; `indent` starts every line but the first."""
    whole = text.replace(" %", "\u00a0%")  # a number stays with its unit
    lines = textwrap.wrap(whole, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]
