"""`lateint plan`: what a corpus will cost, from a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, model_options

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.model.model import Model
    from lateint_eval.planning.plan import Plan


@click.command("plan")
@click.option("--corpus", required=True, metavar="FILE", help="As for `lateint index`.")
@click.option("--codecs", metavar="SPEC", help="As for `lateint index`; others are compared with them.")
@click.option("--queries", metavar="FILE", help="Queries to time. Default: words of the corpus.")
@click.option("--store", type=click.Path(), help="Where the store will be, for the free disk. Default: here.")
@click.option("--sample", type=click.IntRange(min=1), default=1_000, show_default=True, help="Documents to try.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the choice of the sample.")
@click.option("--json", "as_json", is_flag=True, help="JSON with every value and its interval.")
@chunk_options
@model_options
def command(
    choice: ModelChoice,
    cutting: ChunkChoice,
    corpus: str,
    codecs: str | None,
    queries: str | None,
    store: str | None,
    sample: int,
    seed: int,
    as_json: bool,
) -> None:
    """Try a random sample of a corpus and say what all of it takes: bytes, hours, milliseconds a query, free disk.

    Brackets hold 95 % intervals over the sample; times are those of this machine as busy as it is now.

    \b
    Example:
      lateint plan --corpus collection.tsv --store my-store
    """
    from lateint_eval.formats import read_queries

    texts = None if queries is None else list(read_queries(queries).values())
    plan = make(choice.load(), corpus, store, codecs=codecs, queries=texts, chunks=cutting.make(), sample=sample, seed=seed)
    click.echo(json.dumps(plan.to_json(), indent=2) if as_json else written(plan))


def make(
    model: Model,
    corpus: str,
    store: str | None,
    *,
    codecs: str | None,
    chunks: Chunks | None,
    queries: list[str] | None = None,
    sample: int = 1_000,
    seed: int = 0,
) -> Plan:
    """Plan a corpus by its path."""
    from lateint.cli.corpus import read_documents
    from lateint_eval.planning.plan import make_plan
    from lateint_store import parse_codecs

    return make_plan(
        model,
        read_documents(corpus),
        codecs=None if codecs is None else parse_codecs(codecs),
        queries=queries,
        chunks=chunks,
        sample=sample,
        beside=None if store is None else Path(store),
        seed=seed,
    )


def written(plan: Plan) -> str:
    """The plan as text."""
    from lateint_eval.planning.text import plan_lines

    return "\n".join(plan_lines(plan))
