"""Reader of queries: `qid<TAB>text`, JSONL, a BEIR folder, ir_datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lateint_eval.formats.beir import beir_file
from lateint_eval.formats.corpora import is_json, two_fields
from lateint_eval.formats.irds import irds_queries, is_irds
from lateint_eval.formats.json_lines import parse_record
from lateint_eval.formats.lines import first_line, is_folder, source_name
from lateint_store.errors import FormatError


def read_queries(path: str | Path) -> dict[str, str]:
    """Read {query id: text} in file order.

    Raises: FormatError at a malformed line, an empty query or a repeated id; InputError; MissingExtra for `irds:`.
    """
    if is_irds(path):
        return irds_queries(str(path))
    if is_folder(path):
        path = beir_file(path, "queries.jsonl")
    source, queries = source_name(path), dict[str, str]()
    for number, query_id, text in _rows(path, source):
        if query_id in queries:
            raise FormatError(source, number, f"query id {query_id!r} occurs for the second time")
        if not text.strip():
            raise FormatError(source, number, f"query {query_id!r} has no text")
        queries[query_id] = text
    return queries


def _rows(path: str | Path, source: str) -> Iterator[tuple[int, str, str]]:
    head, lines = first_line(path)
    json = is_json(path, head)
    for number, raw in lines:
        if json:
            record = parse_record(raw, source, number)
            yield number, record.id("_id", "id", "query_id"), record.text("text")
        else:
            yield number, *two_fields(raw, source, number, "qid<TAB>query")
