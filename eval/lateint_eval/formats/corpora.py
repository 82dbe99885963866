"""Streaming readers of corpora: MS MARCO `collection.tsv` and `msmarco-docs.tsv`, BEIR and plain JSONL, ir_datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from lateint_eval.formats.beir import beir_file
from lateint_eval.formats.irds import irds_docs, is_irds
from lateint_eval.formats.json_lines import checked_id, parse_record
from lateint_eval.formats.lines import bare_name, decode, first_line, is_folder, source_name
from lateint_eval.formats.records import Doc
from lateint_store.errors import FormatError, InputError


def read_corpus(path: str | Path, *, whole: bool = False) -> Iterator[Doc]:
    """Yield the documents of a corpus in file order, one at a time.

    Layouts: `pid<TAB>text`; `docid<TAB>url<TAB>title<TAB>body` (recognised by the first line; the URL is dropped); JSONL
    with `_id` or `id`, `text` and an optional `title`; a BEIR folder; `irds:ID`; `-` for standard input.
    Repeated ids are not detected here, because that would keep every id in memory; the store refuses them.
    Args: `whole` refuses a last line without a line end, which a command that was killed may have cut.
    Raises: FormatError at a malformed line, InputError if there is no document, MissingExtra for `irds:`.
    """
    doc = None
    for doc in irds_docs(str(path)) if is_irds(path) else _documents(path, whole):
        yield doc
    if doc is None:
        raise InputError(f"{source_name(path)} holds no document; expected at least one")


def _documents(path: str | Path, whole: bool) -> Iterator[Doc]:
    if is_folder(path):
        path = beir_file(path, "corpus.jsonl")
    source = source_name(path)
    head, lines = first_line(path, whole=whole)
    parse = PARSERS[layout_of(path, head)]
    for number, raw in lines:
        yield parse(raw, source, number)


def layout_of(path: str | Path, head: bytes) -> str:
    """Return the name of a corpus's layout, one of `PARSERS`, recognised by its name and first line."""
    return "json" if is_json(path, head) else "documents" if head.count(b"\t") == 3 else "passages"


def is_json(path: str | Path, head: bytes) -> bool:
    """Return True for JSON Lines, recognised by the file name, or else by the first line."""
    name = bare_name(path)
    if name.endswith((".jsonl", ".json", ".ndjson")):
        return True
    return not name.endswith((".tsv", ".tab")) and head.lstrip().startswith(b"{")


def _json_doc(raw: bytes, source: str, number: int) -> Doc:
    record = parse_record(raw, source, number)
    return Doc(record.id("_id", "id"), record.text("title", ""), record.text("text"), number)


def _passage(raw: bytes, source: str, number: int) -> Doc:
    doc_id, text = two_fields(raw, source, number, "pid<TAB>text (or 4 in every line: docid<TAB>url<TAB>title<TAB>body)")
    return Doc(doc_id, "", text, number)


def _document(raw: bytes, source: str, number: int) -> Doc:
    fields = decode(raw, source, number).split("\t")
    if len(fields) != 4:
        expected = "docid<TAB>url<TAB>title<TAB>body, as in the first line"
        raise FormatError(source, number, f"{len(fields)} tab-separated fields; expected 4: {expected}")
    return Doc(checked_id(fields[0], source, number, "the id"), fields[2], fields[3], number)


PARSERS: dict[str, Callable[[bytes, str, int], Doc]] = {"json": _json_doc, "documents": _document, "passages": _passage}
"""By layout, what reads a document from a line without its end; takes the name of the source and the line number as well."""


def two_fields(raw: bytes, source: str, number: int, expected: str) -> tuple[str, str]:
    """Split an `id<TAB>text` line. Raises: FormatError."""
    fields = decode(raw, source, number).split("\t")
    if len(fields) != 2:
        raise FormatError(source, number, f"{len(fields)} tab-separated fields; expected 2: {expected}")
    return checked_id(fields[0], source, number, "the id"), fields[1]
