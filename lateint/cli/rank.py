"""`lateint rank`: candidates of queries into a run file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import click

from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, model_options

if TYPE_CHECKING:
    from lateint.indexing.store import Store
    from lateint.model.document import Document
    from lateint.ranking.ranker import Missing, Ranker
    from lateint.results import Ranking
    from lateint_eval.formats import CandidateList


@click.command("rank")
@click.option("--store", type=click.Path(), help="A store to fetch document states from.")
@click.option(
    "--corpus", metavar="FILE", help="Document texts, encoded for every query: instead of a store, or of what it lacks."
)
@click.option("--queries", metavar="FILE", help="Query texts; not needed where the candidates carry them.")
@click.option("--candidates", required=True, metavar="FILE", help="TREC or MS MARCO run, top1000 file, or JSONL.")
@click.option("--output", required=True, metavar="RUN", help="Run file to write.")
@click.option("--format", "layout", type=click.Choice(["trec", "msmarco"]), default="trec", show_default=True)
@click.option("--top-k", type=click.IntRange(min=1), help="Keep the best K of each query.")
@click.option(
    "--missing",
    type=click.Choice(["error", "skip", "encode"]),
    default="error",
    show_default=True,
    help="What to do with candidates that the store (or corpus) lacks; encode takes them from --corpus.",
)
@click.option(
    "--aggregate", metavar="HOW", help="Score of a document cut into chunks: max (default), first, mean_top:K or mean_cls."
)
@click.option("--ladder", metavar="RUNGS", help="Cheap heads first, each passing so many on, e.g. cosine:200; needs --store.")
@click.option("--budget-ms", type=float, metavar="MS", help="As deep as this time a query allows; needs --store.")
@click.option(
    "--then",
    multiple=True,
    metavar="STORE:DEPTH",
    help="Rank the best so many again by another store and the model that it records; repeatable.",
)
@click.option("--timing", metavar="FILE", help="Write the timing of every query as JSON lines.")
@chunk_options
@model_options
def command(choice: ModelChoice, output: str, layout: Literal["trec", "msmarco"], timing: str | None, **options: Any) -> None:
    """Score every candidate of every query and write a run on which all evaluation tools agree.

    \b
    Example:
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec
      lateint rank --store docs --queries queries.tsv --candidates top100.trec --output mine.trec --aggregate first
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec --ladder cosine:200 \\
        --then teacher-store:10
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
    choice: ModelChoice, cutting: ChunkChoice, aggregate: str | None, store: str | None, then: Sequence[str], **options: Any
) -> Iterator[tuple[str, Ranking]]:
    from lateint.errors import InputError, MissingDocument
    from lateint.indexing.store import open_store
    from lateint.ranking.cascade import Cascade
    from lateint.ranking.ranker import Ranker

    how = {key: options.pop(key) for key in ("ladder", "budget_ms")}
    request = Request(store=store, **options)
    request.check()
    if store is None and how != {"ladder": None, "budget_ms": None}:
        raise click.UsageError("--ladder and --budget-ms rank the entries of a --store")
    chunks = cutting.make()
    if store is not None and chunks is not None:
        raise click.UsageError("--chunk-tokens does not go with --store: a store says itself how its documents were cut")
    with ExitStack() as opened:
        held = None if store is None else opened.enter_context(open_store(store))
        model = choice.load() if held is None else choice.load_for(held)
        first = Ranker(model, held, chunks=chunks, aggregate=aggregate)
        ranker = Cascade(first, *_steps(choice, then, opened)) if then else first
        for number, (query, entry, documents) in enumerate(request.read(held)):
            by_id = None if held is None else entry.doc_ids
            if number == 0 and held is not None and how["budget_ms"] is not None:
                ranker.warm_up(query, sorted(held.held(entry.doc_ids)))
            try:
                ranking = ranker.rank(query, by_id, documents=documents, top_k=request.top_k, missing=request.missing, **how)
            except (InputError, MissingDocument) as error:
                raise type(error)(f"query {entry.query_id!r}: {error}") from error
            yield entry.query_id, ranking


def _steps(choice: ModelChoice, then: Sequence[str], opened: ExitStack) -> Iterator[tuple[Ranker, int]]:
    """What ranks again, and how many: each store under the model that it records. Raises: click.UsageError."""
    from lateint.indexing.store import open_store, recorded_model
    from lateint.ranking.ranker import Ranker

    for text in then:
        path, colon, depth = text.rpartition(":")
        if not colon or not depth.isascii() or not depth.isdecimal():
            raise click.UsageError(f"--then {text!r}: expected STORE:DEPTH, e.g. teacher-store:10")
        held = opened.enter_context(open_store(path))
        model = recorded_model(held, device=choice.device, dtype=choice.dtype, threads=choice.threads)
        yield Ranker(model, held), int(depth)


@dataclass(frozen=True, slots=True)
class Request:
    """What is ranked: the inputs of one call."""

    store: str | None
    corpus: str | None
    queries: str | None
    candidates: str
    top_k: int | None
    missing: Missing

    def check(self) -> None:
        """Refuse inputs that contradict each other (usage error, exit code 2)."""
        if self.store is not None and self.corpus is not None and self.missing != "encode":
            raise click.UsageError("--store and --corpus exclude each other, but for --missing encode")
        if self.missing == "encode" and self.store is None:
            raise click.UsageError("--missing encode belongs to --store; without one, everything is encoded")
        if [self.corpus, self.queries, self.candidates].count("-") > 1:
            raise click.UsageError("standard input (-) can be read once")

    def read(self, held: Store | None) -> Iterator[tuple[str, CandidateList, list[Document] | None]]:
        """Text of each query, its candidates, and the texts of those that have to be encoded, if there are any."""
        from lateint.errors import InputError
        from lateint_eval.formats import read_candidates, read_queries

        texts = {} if self.queries is None else read_queries(self.queries)
        entries: Iterable[CandidateList] = read_candidates(self.candidates)
        corpus = None
        if self.corpus is not None:
            entries = list(entries)
            corpus = _wanted(self.corpus, entries, held)
        for entry in entries:
            query = texts.get(entry.query_id, entry.query_text)
            if query is None:
                raise InputError(f"{self.candidates}: no text for query {entry.query_id!r}; give it in --queries")
            yield query, entry, self._documents(entry, corpus)

    def _documents(self, entry: CandidateList, corpus: dict[str, Document] | None) -> list[Document] | None:
        """Texts of a query's candidates: from the corpus, else as they stand in the candidates."""
        from lateint.errors import MissingDocument
        from lateint.model.document import Document

        if self.store is not None and self.missing != "encode":
            return None
        if corpus is not None:
            absent = [doc_id for doc_id in entry.doc_ids if doc_id not in corpus]
            if absent and self.store is None and self.missing == "error":
                raise MissingDocument(f"query {entry.query_id!r}: candidates {absent[:3]!r} are not in the corpus")
            return [corpus[doc_id] for doc_id in entry.doc_ids if doc_id in corpus]
        if entry.texts is None:
            raise click.UsageError(f"candidates carry no text: give {'--store or ' if self.store is None else ''}--corpus")
        return [Document(doc_id, text) for doc_id, text in zip(entry.doc_ids, entry.texts, strict=True)]


def _wanted(corpus: str, entries: Iterable[CandidateList], held: Store | None) -> dict[str, Document]:
    """The documents that any query needs and the store lacks; the rest of the corpus is passed over."""
    from lateint.cli.corpus import read_documents

    ids = {doc_id for entry in entries for doc_id in entry.doc_ids}
    if held is not None:
        ids -= held.held(sorted(ids))
    return {document.id: document for document in read_documents(corpus) if document.id in ids}
