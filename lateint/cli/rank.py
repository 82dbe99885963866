"""`lateint rank`: score the candidates of queries and write a run."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import click

from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, gathered, model_options

if TYPE_CHECKING:
    from lateint.indexing.store import Store
    from lateint.model.document import Document
    from lateint.ranking.ranker import Missing, Ranker
    from lateint.results import Ranking, Timing
    from lateint_eval.formats import CandidateList


@dataclass(frozen=True, slots=True)
class RankRequest:
    """The options of one call, except those of model, chunks and output."""

    store: str | None
    corpus: str | None
    queries: str | None
    candidates: str
    top_k: int | None
    missing: Missing
    aggregate: str | None
    ladder: str | None
    budget_ms: float | None
    then: tuple[str, ...]

    def check(self) -> None:
        """Refuse inputs that contradict each other (usage error, exit code 2)."""
        if self.store is not None and self.corpus is not None and self.missing != "encode":
            raise click.UsageError("--store and --corpus exclude each other, except with --missing encode")
        if self.missing == "encode" and self.store is None:
            raise click.UsageError("--missing encode needs --store; without a store, all documents are encoded")
        if [self.corpus, self.queries, self.candidates].count("-") > 1:
            raise click.UsageError("standard input (-) can be read once")
        if self.store is None and (self.ladder is not None or self.budget_ms is not None):
            raise click.UsageError("--ladder and --budget-ms rank the entries of a --store")

    def read(self, store: Store | None) -> Iterator[tuple[str, CandidateList, list[Document] | None]]:
        """Yield each query's text, its candidates, and the documents that are to be encoded (None: all are in the store)."""
        from lateint.errors import InputError
        from lateint_eval.formats import read_candidates, read_queries

        texts = {} if self.queries is None else read_queries(self.queries)
        entries: Iterable[CandidateList] = read_candidates(self.candidates)
        corpus = None
        if self.corpus is not None:
            entries = list(entries)
            corpus = _wanted(self.corpus, entries, store)
        for entry in entries:
            query = texts.get(entry.query_id, entry.query_text)
            if query is None:
                raise InputError(f"{self.candidates}: no text for query {entry.query_id!r}; give it in --queries")
            yield query, entry, self._documents(entry, corpus)

    def _documents(self, entry: CandidateList, corpus: dict[str, Document] | None) -> list[Document] | None:
        """The candidates' documents: from the corpus if there is one, else with the texts of the candidates file."""
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


@click.command("rank")
@click.option("--store", type=click.Path(), help="Store that holds the document states.")
@click.option(
    "--corpus", metavar="FILE", help="Document texts, encoded for each query: instead of a store, or with --missing encode."
)
@click.option("--queries", metavar="FILE", help="Query texts; not needed if the candidates file has them.")
@click.option("--candidates", required=True, metavar="FILE", help="TREC or MS MARCO run, top1000 file, or JSONL.")
@click.option("--output", required=True, metavar="RUN", help="Run file to write.")
@click.option(
    "--format", "layout", type=click.Choice(["trec", "msmarco"]), default="trec", show_default=True, help="Format of the run."
)
@click.option("--top-k", type=click.IntRange(min=1), metavar="K", help="Keep the best K documents of each query.")
@click.option(
    "--missing",
    type=click.Choice(["error", "skip", "encode"]),
    default="error",
    show_default=True,
    help="What to do with candidates that the store or corpus lacks; encode reads them from --corpus.",
)
@click.option(
    "--aggregate", metavar="HOW", help="Score of a document from its chunks: max (default), first, mean_top:K or mean_cls."
)
@click.option("--ladder", metavar="RUNGS", help="Cheap heads first, each passes on its best, e.g. cosine:200; needs --store.")
@click.option("--budget-ms", type=float, metavar="MS", help="Choose the depth to fit this time per query; needs --store.")
@click.option(
    "--then",
    multiple=True,
    metavar="STORE:DEPTH",
    help="Re-rank the best DEPTH documents with another store and the model that it records; repeatable.",
)
@click.option("--timing", metavar="FILE", help="Write the timing of each query as JSON lines.")
@chunk_options
@model_options
@gathered(RankRequest, "request")
def command(
    choice: ModelChoice,
    cutting: ChunkChoice,
    request: RankRequest,
    output: str,
    layout: Literal["trec", "msmarco"],
    timing: str | None,
) -> None:
    """Score the candidates of each query and write a run that all evaluation tools order alike.

    \b
    Example:
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec
      lateint rank --store docs --queries queries.tsv --candidates top100.trec --output mine.trec --aggregate first
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec --ladder cosine:200 \\
        --then teacher-store:10
    """
    from lateint_eval.formats import write_run
    from lateint_eval.formats.output import replacing

    timings: list[tuple[str, Timing]] = []

    def rankings() -> Iterator[tuple[str, list[tuple[str, float]]]]:
        for query_id, ranking in _rank_all(choice, cutting, request):
            timings.append((query_id, ranking.timing))
            yield query_id, [(hit.doc_id, hit.score) for hit in ranking]

    write_run(output, rankings(), layout)
    if timing is not None:
        with replacing(timing) as write:
            write("".join(json.dumps({"query_id": query_id, **asdict(each)}) + "\n" for query_id, each in timings))
    if timings:
        median = statistics.median(each.total_ms for _, each in timings)
        click.echo(f"{len(timings)} queries, median {median:.1f} ms per query", err=True)


def _rank_all(choice: ModelChoice, cutting: ChunkChoice, request: RankRequest) -> Iterator[tuple[str, Ranking]]:
    """Yield the ranking of each query, by its id."""
    from lateint.errors import InputError, MissingDocument
    from lateint.indexing.store import open_store
    from lateint.ranking.cascade import Cascade
    from lateint.ranking.ranker import Ranker

    request.check()
    chunks = cutting.make()
    if request.store is not None and chunks is not None:
        raise click.UsageError("--chunk-tokens does not go with --store: the store records how its documents were cut")
    with ExitStack() as opened:
        store = None if request.store is None else opened.enter_context(open_store(request.store))
        model = choice.load() if store is None else choice.load_for(store)
        first = Ranker(model, store, chunks=chunks, aggregate=request.aggregate)
        ranker = Cascade(first, *_steps(choice, request.then, opened)) if request.then else first
        for number, (query, entry, documents) in enumerate(request.read(store)):
            if number == 0 and store is not None and request.budget_ms is not None:
                ranker.warm_up(query, sorted(store.held(entry.doc_ids)))
            try:
                ranking = ranker.rank(
                    query,
                    None if store is None else entry.doc_ids,
                    documents=documents,
                    top_k=request.top_k,
                    missing=request.missing,
                    ladder=request.ladder,
                    budget_ms=request.budget_ms,
                )
            except (InputError, MissingDocument) as error:
                raise type(error)(f"query {entry.query_id!r}: {error}") from error
            yield entry.query_id, ranking


def _steps(choice: ModelChoice, then: Sequence[str], opened: ExitStack) -> Iterator[tuple[Ranker, int]]:
    """Yield the ranker and depth of each further step: a store with the model that it records. Raises: click.UsageError."""
    from lateint.indexing.store import open_store, recorded_model
    from lateint.ranking.ranker import Ranker

    for text in then:
        path, colon, depth = text.rpartition(":")
        if not colon or not depth.isascii() or not depth.isdecimal():
            raise click.UsageError(f"--then {text!r}: expected STORE:DEPTH, e.g. teacher-store:10")
        store = opened.enter_context(open_store(path))
        model = recorded_model(store, device=choice.device, dtype=choice.dtype, threads=choice.threads)
        yield Ranker(model, store), int(depth)


def _wanted(corpus: str, entries: Iterable[CandidateList], store: Store | None) -> dict[str, Document]:
    """Read the candidates of all queries from a corpus, except those that the store holds."""
    from lateint.cli.corpus import read_documents

    ids = {doc_id for entry in entries for doc_id in entry.doc_ids}
    if store is not None:
        ids -= store.held(sorted(ids))
    return {document.id: document for document in read_documents(corpus) if document.id in ids}
