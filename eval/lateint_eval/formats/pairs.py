"""Reader of labelled sentence pairs: tab-separated without quoting, or CSV with quoting; columns are found by header name.

A file is tab-separated if its header contains a tab, otherwise it is CSV. Blank lines are skipped. Lines that start with
`# ` are comments only before the header, because a sentence may also start with `# `.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lateint_eval.formats.lines import decode, line_limit, raw_lines, source_name
from lateint_store.errors import FormatError, InputError

_SENTENCES = (
    ("sentence1", "sentence2"),
    ("#1 String", "#2 String"),
    ("question", "sentence"),
    ("question1", "question2"),
    ("sentence_A", "sentence_B"),
    ("text1", "text2"),
    ("query", "passage"),
)
_LABELS = ("label", "score", "Quality", "is_duplicate", "similarity", "similarity_score", "relatedness_score")
_SPLIT = "split"
_WORDS = {"entailment": 1.0, "not_entailment": 0.0}  # how GLUE writes the labels of QNLI and RTE
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ASK = "name them: --columns FIRST,SECOND,LABEL"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts and their label; `line` is their line number in the file (from 1)."""

    first: str
    second: str
    label: float
    line: int


@dataclass(frozen=True, slots=True)
class _Table:
    """A header and rows of equal length, each with its line number."""

    source: str
    line: int
    header: list[str]
    rows: list[tuple[int, list[str]]]

    def column(self, name: str) -> int:
        """Return the index of a column; its name is compared without regard to case."""
        indices = [index for index, title in enumerate(self.header) if title.lower() == name.lower()]
        if len(indices) != 1:
            raise FormatError(self.source, self.line, f"{len(indices)} columns {name!r} among {self._shown()}; expected one")
        return indices[0]

    def guess(self, known: Sequence[tuple[str, ...]]) -> list[int]:
        """Return the column indices of the only group of `known` whose columns are all present."""
        titles = {title.lower() for title in self.header}
        found = [names for names in known if all(name.lower() in titles for name in names)]
        if len(found) != 1:
            expected = ", ".join("/".join(names) for names in found or known)
            several = "more than one of" if found else "none of"
            raise FormatError(self.source, self.line, f"{several} {expected} among the columns {self._shown()}; {_ASK}")
        return [self.column(name) for name in found[0]]

    def _shown(self) -> str:
        return ", ".join(map(repr, self.header))


def read_pairs(
    path: str | Path, columns: Sequence[str] | None = None, where: Mapping[str, Collection[str]] | None = None
) -> list[Pair]:
    """Read the pairs of a file, in file order.

    Args: `columns` are the names of the two text columns and the label column; None recognises common names. `where` keeps
    the rows whose column has one of the given values, such as `{"split": {"test"}}`. Labels are finite numbers, or GLUE's
    `entailment` and `not_entailment`; only the labels of kept rows are checked.
    Raises: FormatError for a malformed line, a missing or ambiguous column, a label that is not a number, or an empty text;
    InputError if there are no pairs, or if the file has several splits and `where` chooses none.
    """
    table = _read_table(path)
    if columns is None:
        indices = [*table.guess(_SENTENCES), *table.guess([(name,) for name in _LABELS])]
    else:
        indices = [table.column(name) for name in columns]
    rows = _kept(table, where or {})
    return [_pair(table.source, line, [fields[index] for index in indices]) for line, fields in rows]


def pair_columns(path: str | Path) -> list[str]:
    """Return the header of a file of pairs. Raises: FormatError; InputError for an empty file."""
    return _read_table(path).header


def _pair(source: str, line: int, fields: list[str]) -> Pair:
    first, second, label = fields
    for which, text in (("first", first), ("second", second)):
        if not text.strip():
            raise FormatError(source, line, f"the {which} text is empty; expected at least one word")
    return Pair(first, second, _label(label.strip(), source, line), line)


def _label(text: str, source: str, line: int) -> float:
    if text in _WORDS:
        return _WORDS[text]
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise FormatError(source, line, f"label {text!r} is not a finite number; expected a number such as 1 or 3.8")
    return value


def _kept(table: _Table, where: Mapping[str, Collection[str]]) -> list[tuple[int, list[str]]]:
    """Return the rows that have a wanted value in every named column."""
    rows = table.rows
    for name, wanted in where.items():
        index = table.column(name)
        words = sorted({fields[index] for _, fields in table.rows})
        if absent := sorted(set(wanted) - set(words)):
            raise InputError(f"{table.source}: no pair has {name} {absent[0]!r}; known values: {', '.join(words[:20])}")
        rows = [(line, fields) for line, fields in rows if fields[index] in wanted]
    if not rows:
        chosen = " and ".join(f"{name} {'|'.join(sorted(wanted))}" for name, wanted in where.items())
        raise InputError(f"{table.source} holds no pair{f' with {chosen}' if chosen else ''}; expected at least one")
    titles = [title.lower() for title in table.header]
    if _SPLIT in titles and _SPLIT not in {name.lower() for name in where}:
        splits = sorted({fields[titles.index(_SPLIT)] for _, fields in rows})
        if len(splits) > 1:
            raise InputError(f"{table.source} holds the splits {', '.join(splits)}; choose with --split (--tune: --tune-split)")
    return rows


def _read_table(path: str | Path) -> _Table:
    source = source_name(path)
    rows = _fields(path, source)
    line, header = next(rows, (1, []))
    if not header:
        raise InputError(f"{source} is empty; expected a header line and pairs of sentences")
    table = _Table(source, line, [title.strip() for title in header], list(rows))
    for line, fields in table.rows:
        if len(fields) != len(header):
            raise FormatError(source, line, f"{len(fields)} fields; expected {len(header)} as in the header")
    return table


def _fields(path: str | Path, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields), the header first."""
    lines = ((number, decode(raw, source, number)) for number, raw in raw_lines(path))
    for number, line in lines:
        head = line.removeprefix("\ufeff") if number == 1 else line
        if head.strip() and not head.startswith("# "):
            split = _tab_fields if "\t" in head else _csv_fields
            yield from split(chain([(number, head)], lines), source)


def _tab_fields(lines: Iterable[tuple[int, str]], source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield fields without unquoting: a quotation mark is text."""
    for number, line in lines:
        if line.strip(" \r\n"):
            yield number, line.rstrip("\r\n").split("\t")


def _csv_fields(lines: Iterable[tuple[int, str]], source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield fields that may be quoted and contain line ends; a row has the number of its first line."""
    read: list[int] = []

    def texts() -> Iterator[str]:
        for number, line in lines:
            read.append(number)
            yield line

    csv.field_size_limit(line_limit())  # a cell of several lines counts as one
    reader = csv.reader(texts(), strict=True)
    while True:
        before = len(read)
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise FormatError(source, read[min(before, len(read) - 1)], f"not valid CSV: {error}") from error
        if fields is None:
            return
        if any(field.strip() for field in fields):
            yield read[before], fields
