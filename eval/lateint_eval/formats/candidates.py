"""Readers of candidate lists for re-ranking: JSONL, top1000 files, TREC and MS MARCO runs, ir_datasets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lateint_eval.formats.corpora import is_json
from lateint_eval.formats.irds import is_irds
from lateint_eval.formats.json_lines import Record, parse_record
from lateint_eval.formats.lines import first_line, read_lines, source_name
from lateint_eval.formats.ranks import check_ranks
from lateint_eval.formats.records import CandidateList, Run, RunEntry
from lateint_eval.formats.runs import parse_run, read_run
from lateint_eval.formats.spool import spooled
from lateint_eval.formats.top1000 import looks_like_top1000, read_top1000
from lateint_store.errors import FormatError


def read_candidates(path: str | Path) -> Iterator[CandidateList]:
    """Yield one candidate list per query, in the order in which queries first occur.

    Candidates of TREC runs are sorted by score (then rank), those of MS MARCO runs by rank; other files keep their order.
    Texts of only one query are in memory: a top1000 file is read twice, standard input through a temporary file.
    Raises: FormatError at a malformed line, or at a repeated document or JSONL query; InputError; MissingExtra.
    """
    with opened_candidates(path) as read:
        yield from read()


@contextmanager
def opened_candidates(path: str | Path) -> Iterator[Callable[[], Iterator[CandidateList]]]:
    """Yield a function that reads the candidate lists as `read_candidates` does, any number of times, also of a pipe."""
    if is_irds(path):
        scored = read_run(path)
        yield lambda: _from_run(scored)
        return
    source = source_name(path)
    with spooled(path) as file:
        head, lines = first_line(file)
        if is_json(path, head):
            yield lambda: _from_json(read_lines(file), source)
        elif looks_like_top1000(head, source):
            yield lambda: read_top1000(file, source)
        else:
            run = parse_run(head, lines, source)
            yield lambda: _from_run(run)


def _from_json(lines: Iterable[tuple[int, bytes]], source: str) -> Iterator[CandidateList]:
    seen: set[str] = set()
    for number, raw in lines:
        candidates = _parse_candidates(parse_record(raw, source, number))
        if candidates.query_id in seen:
            raise FormatError(source, number, f"query {candidates.query_id!r} occurs for the second time")
        seen.add(candidates.query_id)
        yield candidates


def _parse_candidates(record: Record) -> CandidateList:
    items = record.data.get("candidates")
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise record.fail("no 'candidates' list of objects")
    parts = [Record(record.source, record.line, item) for item in items]
    doc_ids = [part.id("id", "_id") for part in parts]
    if len(set(doc_ids)) < len(doc_ids):
        twice = next(doc_id for at, doc_id in enumerate(doc_ids) if doc_id in doc_ids[:at])
        raise record.fail(f"document {twice!r} occurs twice")
    with_text, with_score = (_all_or_none(record, parts, key) for key in ("text", "score"))
    return CandidateList(
        record.id("query_id"),
        record.text("query", "") or None,
        doc_ids,
        [part.text("text") for part in parts] if with_text else None,
        [part.number("score") for part in parts] if with_score else None,
    )


def _all_or_none(record: Record, parts: list[Record], key: str) -> bool:
    present = sum(part.data.get(key) is not None for part in parts)
    if present not in (0, len(parts)):
        raise record.fail(f"{present} of {len(parts)} candidates have {key!r}; expected all or none")
    return present > 0


def _from_run(run: Run) -> Iterator[CandidateList]:
    check_ranks(run)
    for query_id, entries in run.items():
        ordered = sorted(entries, key=_best_first)
        _refuse_twice(ordered, run.source, query_id)
        scores = [entry.score for entry in ordered if entry.score is not None]
        doc_ids = [entry.doc_id for entry in ordered]
        yield CandidateList(query_id, None, doc_ids, None, scores if len(scores) == len(ordered) else None)


def _best_first(entry: RunEntry) -> tuple[float, int]:
    return (-entry.score if entry.score is not None else 0.0, entry.rank)


def _refuse_twice(entries: list[RunEntry], source: str, query_id: str) -> None:
    seen: dict[str, int] = {}
    for entry in sorted(entries, key=lambda entry: entry.line):
        first = seen.setdefault(entry.doc_id, entry.line)
        if first != entry.line:
            reason = f"document {entry.doc_id!r} of query {query_id!r} is already in line {first}"
            raise FormatError(source, entry.line, reason)
