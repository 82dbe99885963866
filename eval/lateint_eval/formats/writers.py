"""Writers of corpora, queries, judgements and candidates in BEIR and MS MARCO layouts (`run_writer` writes runs)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from lateint_eval.formats.output import replacing
from lateint_eval.formats.records import CandidateList, Doc, Json
from lateint_store.errors import InputError

FileLayout = Literal["beir", "msmarco"]


def write_corpus(path: str | Path, docs: Iterable[Doc], layout: FileLayout) -> None:
    """Write `corpus.jsonl` (BEIR) or `pid<TAB>text` (MS MARCO; title and text joined). Raises: InputError."""
    with replacing(path) as write:
        for doc in docs:
            if layout == "beir":
                write(corpus_line(doc))
            else:
                write(_tab_line(doc.id, doc.full_text))


def corpus_line(doc: Doc) -> str:
    """Return a document as a line of `corpus.jsonl`."""
    return _json_line({"_id": doc.id, "title": doc.title, "text": doc.text})


def write_queries(path: str | Path, queries: Mapping[str, str], layout: FileLayout) -> None:
    """Write `queries.jsonl` (BEIR) or `qid<TAB>text` (MS MARCO). Raises: InputError; then no file is written."""
    with replacing(path) as write:
        for query_id, text in queries.items():
            write(_json_line({"_id": query_id, "text": text}) if layout == "beir" else _tab_line(query_id, text))


def write_qrels(path: str | Path, qrels: Mapping[str, Mapping[str, int]], layout: FileLayout) -> None:
    """Write judgements with BEIR's header, or `qid<TAB>0<TAB>pid<TAB>label` (MS MARCO, also valid TREC)."""
    with replacing(path) as write:
        if layout == "beir":
            write(_tab_line("query-id", "corpus-id", "score"))
        for query_id, labels in qrels.items():
            for doc_id, label in labels.items():
                middle = [doc_id] if layout == "beir" else ["0", doc_id]
                write(_tab_line(query_id, *middle, str(label)))


def write_candidates(path: str | Path, lists: Iterable[CandidateList], layout: Literal["jsonl", "top1000"]) -> None:
    """Write candidate lists as JSONL, or as a top1000 file, which needs query and passage texts and drops scores."""
    with replacing(path) as write:
        for candidates in lists:
            if layout == "jsonl":
                write(_json_line(_candidates_object(candidates)))
                continue
            query_id, query = candidates.query_id, candidates.query_text
            if query is None or candidates.texts is None:
                raise InputError(f"query {query_id!r} comes without texts; a top1000 file needs the query and all passages")
            for doc_id, text in zip(candidates.doc_ids, candidates.texts, strict=True):
                write(_tab_line(query_id, doc_id, query, text))


def _candidates_object(candidates: CandidateList) -> Json:
    items: list[Json] = [{"id": doc_id} for doc_id in candidates.doc_ids]
    for key, values in (("score", candidates.scores), ("text", candidates.texts)):
        for item, value in zip(items, values or (), strict=values is not None):
            item[key] = value
    return {"query_id": candidates.query_id, "query": candidates.query_text, "candidates": items}


def _json_line(data: Json) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"


def _tab_line(*fields: str) -> str:
    if any(char in field for field in fields for char in "\t\r\n"):
        raise InputError(f"{fields} cannot be written to a tab-separated file: a field holds a tab or a line end")
    return "\t".join(fields) + "\n"
