"""Paragraphs of the language reference, as shown by `help("with")` (`pydoc_data.topics`)."""

import re
from collections.abc import Iterator, Mapping

# Sections only, because whole chapters repeat their sections.
_TOPICS = """
    assert assignment async attribute-access booleans break calls class context-managers continue customization del
    dynamic-features exceptions for formatstrings function global if import in integers lambda lists nonlocal
    operator-summary pass power raise return slicings strings truth try typesmapping typesseq while
    with yield
"""

_HEADING_RULE = re.compile(r"^([*=~^-])\1{2,}$")
_VERSION_NOTE = re.compile(r"(New|Added|Changed) in version|Deprecated since")
_MIN_WORDS = 20  # a shorter paragraph is joined with the next one


def topic_paragraphs(topics: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Split the texts of the selected topics into paragraphs.

    Args: `topics` maps a name to plain text with underlined headings; missing names are skipped.
    Yields: (id, title, text). The title is the topic's first heading. The id contains the first five words of the text
    (`topic:with#the-with-statement-is-used`) and not its position, so that a judgement does not refer to another text in
    another version of Python.
    """
    for name in _TOPICS.split():
        heading, *paragraphs = _paragraphs(topics.get(name, ""))
        for text in _joined(paragraphs):
            words = re.findall(r"[a-z0-9_]+", text.lower())
            yield f"topic:{name}#{'-'.join(words[:5])}", heading, text


def _paragraphs(text: str) -> list[str]:
    """Split at empty lines; drop grammar productions, tables, version notes and the underlines of headings."""
    blocks = [block.strip() for block in re.split(r"\n\s*\n", text)]
    prose = [block for block in blocks if not ("::=" in block or "+---" in block or _VERSION_NOTE.match(block))]
    lines = ([line.strip() for line in block.splitlines()] for block in prose)
    joined = (" ".join(line for line in block if not _HEADING_RULE.match(line)) for block in lines)
    return [re.sub(r"[\"`“”]", "", paragraph) for paragraph in joined] or [""]


def _joined(paragraphs: list[str]) -> Iterator[str]:
    """Join a short paragraph (a heading, the line before an example) with the next one."""
    waiting = ""
    for paragraph in paragraphs:
        waiting = f"{waiting} {paragraph}".strip()
        if len(waiting.split()) >= _MIN_WORDS:
            yield waiting
            waiting = ""
    if waiting:
        yield waiting
