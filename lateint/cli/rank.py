"""`lateint rank`: score the candidates of queries and write a run."""

from __future__ import annotations

import json
import statistics
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal

import click

from lateint.cli.explaining import ExplainChoice, Explanations, explain_options
from lateint.cli.lost_text import CutCounter
from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, gathered, model_options, refuse_shared_outputs
from lateint.cli.printing import echo
from lateint.cli.rank_input import RankInput
from lateint.cli.rank_on_ray import check_rank_engine
from lateint_store.arguments import parse_count

if TYPE_CHECKING:
    from lateint.cli.rank_input import Ranked
    from lateint.indexing.store import Store
    from lateint.model.document import Document
    from lateint.ranking.cascade import Cascade
    from lateint.ranking.ranker import Missing, Ranker
    from lateint.results import Ranking, Timing
    from lateint_eval.formats import CandidateList

Pairs = Iterator[tuple[str, list[tuple[str, float]]]]
_FEW = 16  # documents of a store that costs are measured on, if the candidates are fewer than two


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

    def input(self, layout: str) -> RankInput:
        """The part that names what is ranked. Raises: click.UsageError for options that contradict each other."""
        from lateint_eval.formats import MSMARCO_DEPTH

        bounded = layout == "msmarco" and (self.top_k is None or self.top_k > MSMARCO_DEPTH)
        found = RankInput(self.corpus, self.queries, self.candidates, self.missing, MSMARCO_DEPTH if bounded else None)
        found.check(stored=self.store is not None)
        if self.store is None and (self.ladder is not None or self.budget_ms is not None):
            raise click.UsageError("--ladder and --budget-ms rank the entries of a --store")
        return found


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
@click.option("--engine", metavar="ENGINE", help="Rank on Ray: ray (here), ray:auto, or ray://HOST[:PORT] of its head.")
@click.option("--workers", type=click.IntRange(min=1), metavar="W", help="With --engine: processes. Default: what fits.")
@click.option("--timing", metavar="FILE", help="Write the timing of each query as JSON lines.")
@explain_options
@chunk_options
@model_options
@gathered(RankRequest, "request")
def command(
    choice: ModelChoice,
    cutting: ChunkChoice,
    explaining: ExplainChoice,
    request: RankRequest,
    output: str,
    layout: Literal["trec", "msmarco"],
    timing: str | None,
    engine: str | None,
    workers: int | None,
) -> None:
    """Score the candidates of each query and write a run that all evaluation tools order alike.

    \b
    Example:
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec
      lateint rank --store docs --queries queries.tsv --candidates top100.trec --output mine.trec --aggregate first
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec --ladder cosine:200 \\
        --then teacher-store:10
      lateint rank --store my-store --queries queries.tsv --candidates bm25.trec --output mine.trec --explain words.jsonl
      lateint rank --store /shared/my-set --queries queries.tsv --candidates bm25.trec --output mine.trec \\
        --engine ray://head:6379
    """
    from lateint_eval.formats import write_run
    from lateint_eval.formats.output import replacing

    explaining.check(ladder=request.ladder, budget_ms=request.budget_ms, then=request.then)
    refuse_shared_outputs(output=output, timing=timing, explain=explaining.explain)
    others = {name: getattr(request, name) for name in ("corpus", "ladder", "budget_ms", "then")}
    check_rank_engine(engine, workers, timing=timing, explain=explaining.explain, chunk_tokens=cutting.chunk_tokens, **others)
    if engine is not None:
        write_run(output, _on_ray(choice, request, engine, workers, output, layout), layout)
        return
    with nullcontext() if timing is None else replacing(timing) as write, explaining.opened() as explanations:
        ranked = _RankedQueries(explanations)
        write_run(output, _rank_all(choice, cutting, request, layout, ranked), layout)
        if write is not None:
            write("".join(json.dumps(line) + "\n" for line in ranked.timing_lines()))
    ranked.report()


def _on_ray(choice: ModelChoice, request: RankRequest, engine: str, workers: int | None, output: str, layout: str) -> Pairs:
    """Return the rankings of all queries, scored by the owners of the documents."""
    from lateint.cli.rank_on_ray import RankOnRay

    if request.store is None:
        raise click.UsageError("--engine ranks the entries of a --store")
    if request.missing == "encode":
        raise click.UsageError("--missing encode does not go with --engine: candidates are scored where they are stored")
    work = RankOnRay(engine, workers, request.store, f"{output}.parts", request.aggregate, request.top_k)
    return work.rank(choice, request.input(layout))


class _RankedQueries:
    """What is said of the queries after the last: their times, and texts that were not read to their end.

    Their best hits are explained at once, into a file, if there are `explanations`.
    """

    def __init__(self, explanations: Explanations | None) -> None:
        self.explanations = explanations
        self.timings: list[tuple[str, Timing]] = []  # by query id
        self.queries: CutCounter | None = None
        self.encoded: CutCounter | None = None
        self.skipped = 0
        self._seen: set[str] = set()

    def add(self, ranker: Ranker, entry: CandidateList, documents: list[Document] | None, found: Ranking) -> None:
        """Count a ranked query, and `documents` that were encoded; one that serves several queries counts once.

        `ranker`: the only one, or the first of a cascade.
        """
        if self.queries is None or self.encoded is None:
            self.queries = CutCounter(ranker.model, "query", "queries")
            self.encoded = CutCounter(ranker.model, "document", "documents", ranker.chunks)
        new = [document for document in documents or () if document.id not in self._seen]
        self._seen.update(document.id for document in new)
        self.encoded.add_documents(new)
        self.skipped += len(entry.doc_ids) - found.timing.candidates
        self.queries.count(1, found.timing.cut_queries)
        self.timings.append((entry.query_id, found.timing))

    def explain(
        self, ranker: Ranker, query: str, entry: CandidateList, documents: list[Document] | None, found: Ranking
    ) -> None:
        """Explain the best hits of a query. Raises: InputError for a head that cannot explain."""
        if self.explanations is not None:
            self.explanations.add(ranker, (entry.query_id, query), documents, found)

    def timing_lines(self) -> Iterator[dict[str, object]]:
        """Yield the timing of each query as a JSON object."""
        for query_id, timing in self.timings:
            yield {"query_id": query_id, **asdict(timing)}

    def report(self) -> None:
        """Print the lines to standard error."""
        for counter in (self.queries, self.encoded):
            if counter is not None:
                counter.report()
        if self.skipped:
            echo(f"{self.skipped} candidates were skipped: neither the store nor the corpus has them", err=True)
        if self.timings:
            median = statistics.median(timing.total_ms for _, timing in self.timings)
            echo(f"{len(self.timings)} queries, median {median:.1f} ms per query", err=True)


def _rank_all(choice: ModelChoice, cutting: ChunkChoice, request: RankRequest, layout: str, ranked: _RankedQueries) -> Pairs:
    """Yield the ranking of each query, by its id; count it in `ranked`, which explains its best hits."""
    from lateint.indexing.store import open_store
    from lateint.ranking.cascade import Cascade
    from lateint.ranking.ranker import Ranker

    given, chunks = request.input(layout), cutting.make()
    if request.store is not None and chunks is not None:
        raise click.UsageError("--chunk-tokens does not go with --store: the store records how its documents were cut")
    with ExitStack() as opened:
        store = None if request.store is None else opened.enter_context(open_store(request.store))
        queries = given.read(store)
        checked = chain([next(queries)], queries)
        model = choice.load() if store is None else choice.load_for(store)
        first = Ranker(model, store, chunks=chunks, aggregate=request.aggregate)
        ranker = Cascade(first, *_steps(choice, request.then, opened)) if request.then else first
        if store is not None and request.budget_ms is not None:
            first_query, entry, documents = next(checked)
            ranker.warm_up(first_query, _some_ids(store, entry))
            checked = chain([(first_query, entry, documents)], checked)
        for (query, entry, documents), ranking in _rankings(ranker, store is not None, checked, request):
            ranked.explain(first, query, entry, documents, ranking)
            ranked.add(first, entry, documents, ranking)
            yield entry.query_id, [(hit.doc_id, hit.score) for hit in ranking]


def _rankings(
    ranker: Ranker | Cascade, stored: bool, asked: Iterator[Ranked], request: RankRequest
) -> Iterator[tuple[Ranked, Ranking]]:
    """Yield each query with its ranking: many at once where all candidates are stored, else one after the other.

    Raises: InputError, MissingDocument with the query's id.
    """
    from lateint.errors import InputError, MissingDocument
    from lateint.ranking.ranker import Ranker

    given: deque[Ranked] = deque()  # queries that are not ranked yet

    def noted() -> Iterator[Ranked]:
        for each in asked:
            given.append(each)
            yield each

    if isinstance(ranker, Ranker) and stored and request.missing != "encode" and request.budget_ms is None:
        pairs = ((query, entry.doc_ids) for query, entry, _ in noted())
        rankings = ranker.rank_many(pairs, top_k=request.top_k, missing=request.missing, ladder=request.ladder)
    else:
        rankings = (_rank_one(ranker, stored, each, request) for each in noted())
    while True:
        try:
            ranking = next(rankings)
        except StopIteration:
            return
        except (InputError, MissingDocument) as error:
            raise type(error)(f"query {given[0][1].query_id!r}: {error}") from error
        yield given.popleft(), ranking


def _rank_one(ranker: Ranker | Cascade, stored: bool, asked: Ranked, request: RankRequest) -> Ranking:
    query, entry, documents = asked
    return ranker.rank(
        query,
        entry.doc_ids if stored else None,
        documents=documents,
        top_k=request.top_k,
        missing=request.missing,
        ladder=request.ladder,
        budget_ms=request.budget_ms,
    )


def _some_ids(store: Store, entry: CandidateList) -> list[str]:
    """Ids of documents of a store to measure costs on: the candidates of a query, and others if these are fewer than two."""
    held = store.held(entry.doc_ids)
    if len(held) < 2:
        stored = islice(store.ids(), _FEW)
        held |= set(stored) if store.chunks is None else {entry_id.rpartition("#")[0] for entry_id in stored}
    return sorted(held)


def _steps(choice: ModelChoice, then: Sequence[str], opened: ExitStack) -> Iterator[tuple[Ranker, int]]:
    """Yield the ranker and depth of each further step: a store with the model that it records. Raises: click.UsageError."""
    from lateint.indexing.store import open_store, recorded_model
    from lateint.ranking.ranker import Ranker

    for text in then:
        path, colon, depth = text.rpartition(":")
        number = parse_count(depth)
        if not colon or number is None:
            raise click.UsageError(f"--then {text!r}: expected STORE:DEPTH, e.g. teacher-store:10")
        store = opened.enter_context(open_store(path))
        model = recorded_model(store, **choice.loading())
        yield Ranker(model, store), number
