"""Reader of lists of ids, one per line."""

from __future__ import annotations

from pathlib import Path

from lateint_eval.formats.lines import decode, read_lines, source_name


def read_ids(path: str | Path) -> list[str]:
    """Read the ids of a file in file order, one per line; blank lines are skipped. Raises: FormatError; InputError."""
    source = source_name(path)
    return [decode(line, source, number) for number, line in read_lines(path)]
