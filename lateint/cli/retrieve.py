"""`lateint retrieve`: write a run of the documents of a store whose vectors are nearest to each query's."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import click

from lateint.cli.lost_text import CutCounter
from lateint.cli.options import ModelChoice, gathered, model_options, refuse_shared_outputs
from lateint.cli.printing import echo


@dataclass(frozen=True, slots=True)
class RetrieveRequest:
    """The options of one call, except those of the model."""

    store: str
    queries: str
    k: int
    output: str
    format: Literal["trec", "msmarco"]
    index: Literal["exact", "hnsw"]
    index_file: str | None
    progress: bool | None

    def check(self) -> None:
        """Refuse options that contradict each other (usage error, exit code 2)."""
        refuse_shared_outputs(output=self.output, index_file=self.index_file)
        if self.index_file is not None and self.index != "hnsw":
            raise click.UsageError("--index-file belongs to --index hnsw")
        if self.format == "msmarco" and self.k > 1000:
            raise click.UsageError(f"--k {self.k}: an MS MARCO run holds 1000 documents a query; use --format trec")


@click.command("retrieve")
@click.option("--store", required=True, type=click.Path(), help="Store whose entries hold a vector.")
@click.option("--queries", required=True, metavar="FILE", help="MS MARCO TSV, BEIR folder or file, JSONL, irds:ID, or -.")
@click.option("--k", type=click.IntRange(min=1), default=1000, show_default=True, help="Documents per query.")
@click.option("--output", required=True, metavar="RUN", help="Run file to write.")
@click.option("--format", type=click.Choice(["trec", "msmarco"]), default="trec", show_default=True, help="Format of the run.")
@click.option("--index", type=click.Choice(["exact", "hnsw"]), default="exact", show_default=True, help="hnsw is approximate.")
@click.option("--index-file", metavar="FILE", type=click.Path(dir_okay=False), help="File that keeps the graph of hnsw.")
@click.option("--progress/--no-progress", default=None, help="Show progress. Default: at a terminal.")
@model_options
@gathered(RetrieveRequest, "request")
def command(choice: ModelChoice, request: RetrieveRequest) -> None:
    """Find the documents of a store whose vectors are nearest to each query's, and write a run.

    All vectors are read into memory once, 4 bytes per number. The run serves as candidates for `lateint rank`, which can
    use the same store: it retrieves by the vectors and re-ranks by the token states.

    \b
    Example:
      lateint retrieve --store my-store --queries queries.tsv --k 1000 --output first.trec
      lateint rank --store my-store --queries queries.tsv --candidates first.trec --output mine.trec
    """
    from lateint_eval.formats import write_run

    request.check()
    times: list[float] = []
    write_run(request.output, _rankings(choice, request, times), request.format)
    if times:
        echo(f"{len(times)} queries, median {statistics.median(times):.1f} ms per query", err=True)


def _rankings(
    choice: ModelChoice, request: RetrieveRequest, times: list[float]
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Yield the ranking of each query, and append the milliseconds that it took to `times`."""
    from tqdm import tqdm

    from lateint.errors import InputError
    from lateint.indexing.store import open_store
    from lateint.retrieval.retriever import Retriever
    from lateint_eval.formats import check_name, read_queries

    texts = read_queries(request.queries)
    if not texts:
        raise InputError(f"{request.queries} holds no query; expected at least one")
    for query_id in texts:
        check_name(query_id, "query id")
    with open_store(request.store) as store:
        model, started = choice.load_for(store), time.perf_counter()
        retriever = Retriever(model, store, request.index, index_file=request.index_file)
    queries = CutCounter(model, "query", "queries")
    queries.add(list(texts.values()))
    queries.report()
    echo(f"{len(retriever)} vectors from {request.store} in {time.perf_counter() - started:.1f} s", err=True)
    rankings = zip(texts, retriever.retrieve_many(list(texts.values()), request.k), strict=True)
    wanted = sys.stderr.isatty() if request.progress is None else request.progress
    for query_id, ranking in tqdm(rankings, total=len(texts), unit=" queries", file=sys.stderr, disable=not wanted):
        times.append(ranking.timing.total_ms)
        yield query_id, [(hit.doc_id, hit.score) for hit in ranking]
