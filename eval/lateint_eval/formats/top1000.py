"""Reader of MS MARCO `top1000` files, `qid<TAB>pid<TAB>query<TAB>passage` in any order, without keeping texts in memory."""

from __future__ import annotations

import io
import re
from array import array
from collections.abc import Iterator
from pathlib import Path

from lateint_eval.formats.json_lines import checked_id
from lateint_eval.formats.lines import decode, numbered
from lateint_eval.formats.records import CandidateList
from lateint_store.errors import FormatError

_INTEGER, _NUMBER = re.compile(rb"\d+"), re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_EXPECTED = "4 tab-separated fields `qid pid query passage`"


def looks_like_top1000(head: bytes, source: str) -> bool:
    """Return True if the first line has the four fields of a top1000 file.

    Raises: FormatError if they are those of qrels, or of a ranking `qid pid rank score`.
    """
    fields = head.split(b"\t")
    if len(fields) != 4:
        return False
    if fields[1] in (b"0", b"Q0") and fields[3].strip().lstrip(b"-").isdigit():
        raise FormatError(source, 1, f"this looks like qrels; expected candidates: {_EXPECTED}, a run or JSONL")
    if _INTEGER.fullmatch(fields[2]) and _NUMBER.fullmatch(fields[3]):
        reason = f"this looks like a ranking `qid pid rank score`; keep the first three fields (cut -f1-3), or give {_EXPECTED}"
        raise FormatError(source, 1, reason)
    return True


def read_top1000(path: Path, source: str) -> Iterator[CandidateList]:
    """Yield one `CandidateList` per query from an uncompressed file; `source` is its name in messages. Raises: FormatError.

    Cost: the file is read twice; memory holds 16 bytes per line and the texts of one query.
    """
    with path.open("rb") as file:
        offsets = _offsets_by_query(file, source)
        for query_id, where in offsets.items():
            yield _one_query(file, source, query_id, where)


def _offsets_by_query(file: io.BufferedReader, source: str) -> dict[str, array[int]]:
    """Return {query id: [offset, line number, offset, line number, ...]} in file order."""
    offsets: dict[str, array[int]] = {}
    offset = 0
    for number, raw in numbered(file, source):
        if raw.strip(b" \r\n"):
            query_id = checked_id(decode(raw.partition(b"\t")[0], source, number), source, number, "the query id")
            offsets.setdefault(query_id.removeprefix("\ufeff"), array("q")).extend((offset, number))
        offset += len(raw)
    return offsets


def _one_query(file: io.BufferedReader, source: str, query_id: str, where: array[int]) -> CandidateList:
    texts: dict[str, str] = {}
    query: str | None = None
    for offset, number in zip(where[::2], where[1::2], strict=True):
        file.seek(offset)
        fields = decode(file.readline().rstrip(b"\r\n"), source, number).split("\t")
        if len(fields) != 4:
            raise FormatError(source, number, f"{len(fields)} tab-separated fields; expected {_EXPECTED}")
        doc_id = checked_id(fields[1], source, number, "the passage id")
        if doc_id in texts:
            raise FormatError(source, number, f"passage {doc_id!r} of query {query_id!r} occurs for the second time")
        if query is not None and fields[2] != query:
            raise FormatError(source, number, f"query {query_id!r} has another text than before")
        query, texts[doc_id] = fields[2], fields[3]
    return CandidateList(query_id, query, list(texts), list(texts.values()))
