"""`lateint rank`: candidates of queries into a run file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click

from lateint.cli.options import ModelChoice, model_options

if TYPE_CHECKING:
    from lateint.rank import Ranker, Ranking
    from lateint_eval.formats import Candidates


@click.command("rank")
@click.option("--store", type=click.Path(), help="A store to fetch document states from.")
@click.option("--corpus", metavar="FILE", help="Document texts instead of a store: they are encoded for every query.")
@click.option("--queries", metavar="FILE", help="Query texts; not needed where the candidates carry them.")
@click.option("--candidates", required=True, metavar="FILE", help="TREC or MS MARCO run, top1000 file, or JSONL.")
@click.option("--output", required=True, metavar="RUN", help="Run file to write.")
@click.option("--format", "layout", type=click.Choice(["trec", "msmarco"]), default="trec", show_default=True)
@click.option("--top-k", type=click.IntRange(min=1), help="Keep the best K of each query.")
@click.option("--timing", metavar="FILE", help="Write the timing of every query as JSON lines.")
@model_options
def command(choice: ModelChoice, output: str, layout: Literal["trec", "msmarco"], timing: str | None, **options: Any) -> None:
    """Score every candidate of every query and write a run on which all evaluation tools agree.

    \b
    Example:
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec
    """
    from lateint_eval.formats import write_run
    from lateint_eval.formats.output import replacing

    timings: list[dict[str, Any]] = []

    def rankings() -> Iterator[tuple[str, list[tuple[str, float]]]]:
        for query_id, ranking in _rank_all(choice, **options):
            timings.append({"query_id": query_id, **asdict(ranking.timing)})
            yield query_id, [(hit.doc_id, hit.score) for hit in ranking]

    write_run(output, rankings(), layout)
    if timing is not None:
        with replacing(timing) as write:
            write("".join(json.dumps(row) + "\n" for row in timings))
    if timings:
        middle = statistics.median(row["total_ms"] for row in timings)
        click.echo(f"{len(timings)} queries, median {middle:.1f} ms a query", err=True)


def _rank_all(
    choice: ModelChoice, store: str | None, corpus: str | None, queries: str | None, candidates: str, top_k: int | None
) -> Iterator[tuple[str, Ranking]]:
    from lateint.errors import InputError, MissingDocument
    from lateint.model import Document
    from lateint.rank import Ranker
    from lateint.store import open_store
    from lateint_eval.formats import read_candidates, read_queries

    if store is not None and corpus is not None:
        raise click.UsageError("--store and --corpus exclude each other")
    if [corpus, queries, candidates].count("-") > 1:
        raise click.UsageError("standard input (-) can be read once")
    with ExitStack() as opened:
        held = None if store is None else opened.enter_context(open_store(store))
        ranker: Ranker = Ranker(choice.load() if held is None else choice.load_for(held), held)
        texts = {} if queries is None else read_queries(queries)
        entries: Iterable[Candidates] = read_candidates(candidates)
        documents = None
        if corpus is not None:
            entries = list(entries)
            documents = _wanted(corpus, entries)
        for entry in entries:
            query = texts.get(entry.query_id, entry.query_text)
            if query is None:
                raise InputError(f"{candidates}: no text for query {entry.query_id!r}; give it in --queries")
            try:
                if held is not None:
                    ranking = ranker.rank(query, entry.doc_ids, top_k=top_k)
                elif documents is not None or entry.texts is not None:
                    found = _texts(entry, documents, Document)
                    ranking = ranker.rank(query, documents=found, top_k=top_k)
                else:
                    raise click.UsageError("candidates carry no text: give --store or --corpus")
            except (InputError, MissingDocument) as error:
                raise type(error)(f"query {entry.query_id!r}: {error}") from error
            yield entry.query_id, ranking


def _wanted(corpus: str, entries: Iterable[Candidates]) -> dict[str, Any]:
    """The documents that any query needs; the rest of the corpus is passed over."""
    from lateint.cli.index import read_documents

    ids = {doc_id for entry in entries for doc_id in entry.doc_ids}
    return {document.id: document for document in read_documents(corpus) if document.id in ids}


def _texts(entry: Any, documents: dict[str, Any] | None, make: Any) -> list[Any]:
    from lateint.errors import MissingDocument

    if documents is None:
        return [make(doc_id, text) for doc_id, text in zip(entry.doc_ids, entry.texts, strict=True)]
    if absent := [doc_id for doc_id in entry.doc_ids if doc_id not in documents]:
        raise MissingDocument(f"candidates {absent[:3]!r} are not in the corpus")
    return [documents[doc_id] for doc_id in entry.doc_ids]
