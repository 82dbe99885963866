"""Reader of runs: TREC (`qid Q0 docid rank score tag`) and MS MARCO (`qid pid rank`)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lateint_eval.formats.irds import irds_run, is_irds
from lateint_eval.formats.lines import decode, first_line, source_name
from lateint_eval.formats.qrels import parse_integer, shorten
from lateint_eval.formats.records import LARGEST_RANK, Run, RunEntry
from lateint_store.errors import FormatError

Lines = Iterable[tuple[int, bytes]]
_TREC, _MSMARCO = 6, 3  # fields of a line; a TREC tag may hold blanks
_EXPECTED = "6 fields `qid Q0 docid rank score tag` (TREC) or 3 fields `qid pid rank` (MS MARCO)"


def read_run(path: str | Path, *, finite: bool = True) -> Run:
    """Read a run; file order, ranks and duplicates are kept. The first line decides between TREC and MS MARCO.

    Args: `finite` False accepts scores that are nan or infinite.
    Raises: FormatError at a malformed line or a score that is not finite; InputError; MissingExtra for `irds:`.
    """
    if is_irds(path):
        return irds_run(str(path))
    return parse_run(*first_line(path), source_name(path), finite=finite)


def parse_run(head: bytes, lines: Lines, source: str, *, finite: bool = True) -> Run:
    """Parse the lines of a run as `read_run` does; `head` is the first line."""
    run = Run(source)
    for query_id, entry in _entries(head, lines, source):
        if finite and entry.score is not None and not math.isfinite(entry.score):
            reason = f"score {entry.score} of document {entry.doc_id!r} is not finite; `lateint eval --audit` lists all such"
            raise FormatError(run.source, entry.line, reason)
        run.queries.setdefault(query_id, []).append(entry)
    return run


def _entries(head: bytes, lines: Lines, source: str) -> Iterator[tuple[str, RunEntry]]:
    width = min(_TREC, len(_fields(head.decode("utf-8", "replace"))))
    if head and width not in (_MSMARCO, _TREC):
        raise FormatError(source, 1, f"{width} fields; expected {_EXPECTED}")
    for number, raw in lines:
        if b"\r" in raw:  # a tag may hold blanks, so the rest of the file would be taken for one
            reason = "a carriage return inside the line; does the file end its lines with it alone? write line feeds"
            raise FormatError(source, number, reason)
        fields = _fields(decode(raw, source, number))
        if min(_TREC, len(fields)) != width:
            raise FormatError(source, number, f"{len(fields)} fields, the first line has {width}; expected {_EXPECTED}")
        if len(fields) > _TREC and _is_number(fields[_TREC - 1]):
            reason = f"{len(fields)} fields, of which the sixth is a number; does an id hold a blank? expected {_EXPECTED}"
            raise FormatError(source, number, reason)
        yield _entry(fields, source, number)


def _fields(text: str) -> list[str]:
    # Not str.split(): it also splits at no-break spaces and other Unicode blanks, which ids may contain.
    return re.split(r"[ \t]+", text.strip(" \t"))


def _entry(fields: list[str], source: str, number: int) -> tuple[str, RunEntry]:
    if len(fields) == _MSMARCO:
        rank = parse_integer(fields[2], source, number, "rank", LARGEST_RANK)
        return fields[0], RunEntry(fields[1], rank, None, number)
    rank = parse_integer(fields[3], source, number, "rank", LARGEST_RANK)
    return fields[0], RunEntry(fields[2], rank, _score(fields[4], source, number), number)


def _score(text: str, source: str, number: int) -> float:
    try:
        if "_" in text:
            raise ValueError
        return float(text)
    except ValueError as error:
        raise FormatError(source, number, f"score {shorten(text)!r} is not a number") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
