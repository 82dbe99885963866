"""Reader of judgements: TREC and MS MARCO (`qid iter docid label`), BEIR (tab-separated with a header), ir_datasets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lateint_eval.formats.beir import beir_qrels
from lateint_eval.formats.irds import irds_qrels, is_irds
from lateint_eval.formats.json_lines import checked_id
from lateint_eval.formats.lines import decode, first_line, is_folder, source_name
from lateint_eval.formats.records import LARGEST_LABEL, Qrels
from lateint_store.errors import FormatError

_INTEGER = re.compile(r"[+-]?[0-9]+")
_EXPECTED = "4 fields `qid 0 docid label`, or BEIR's 3 under the header `query-id<TAB>corpus-id<TAB>score`"


def read_qrels(path: str | Path) -> Qrels:
    """Read {query id: {document id: label}} in file order.

    Labels are whole numbers from -10,000 to 10,000. A repeated pair with the same label is read once.
    Raises: FormatError at a malformed line or a pair with two different labels; InputError; MissingExtra for `irds:`.
    """
    if is_irds(path):
        return irds_qrels(str(path))
    if is_folder(path):
        path = beir_qrels(path)
    source, qrels = source_name(path), Qrels()
    for number, (query_id, doc_id, label_text) in _rows(path, source):
        label = parse_integer(label_text, source, number, "label", LARGEST_LABEL)
        labels = qrels.setdefault(checked_id(query_id, source, number, "the query id"), {})
        known = labels.setdefault(checked_id(doc_id, source, number, "the document id"), label)
        if known != label:
            raise FormatError(source, number, f"label {label} for ({query_id}, {doc_id}), which already has label {known}")
    return qrels


def parse_integer(text: str, source: str, line: int, what: str, largest: int) -> int:
    """Parse decimal digits with an optional sign (`int` would also accept `1_000`) and an absolute value up to `largest`.

    Raises: FormatError.
    """
    if not _INTEGER.fullmatch(text):
        raise FormatError(source, line, f"{what} {shorten(text)!r} is not a whole number; are columns swapped?")
    digits = text.lstrip("+-0") or "0"
    if len(digits) > len(str(largest)) or int(digits) > largest:
        expected = f"expected a number from {-largest:,} to {largest:,}; are columns swapped?"
        raise FormatError(source, line, f"{what} {shorten(text)} is out of range; {expected}")
    return -int(digits) if text.startswith("-") else int(digits)


def shorten(text: str) -> str:
    """Return a text for a message, cut after 40 characters."""
    return text if len(text) <= 40 else f"{text[:40]}..."


def _rows(path: str | Path, source: str) -> Iterator[tuple[int, list[str]]]:
    head, lines = first_line(path)
    beir = head.split(b"\t")[:2] == [b"query-id", b"corpus-id"]
    if beir:
        next(lines)
    for number, raw in lines:
        # BEIR ids may contain spaces, so BEIR lines are split at tabs only.
        text = decode(raw, source, number)
        fields = text.split("\t") if beir else re.split(r"[ \t]+", text.strip(" \t"))
        if len(fields) != (3 if beir else 4):
            raise FormatError(source, number, f"{len(fields)} fields; expected {_EXPECTED}")
        yield number, fields if beir else [fields[0], fields[2], fields[3]]
