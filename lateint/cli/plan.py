"""`lateint plan`: estimate the cost of a corpus from a sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, model_options
from lateint.cli.printing import echo

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.model.model import Model
    from lateint_eval.planning.plan import Plan


@click.command("plan")
@click.option("--corpus", required=True, metavar="FILE", help="As for `lateint index`.")
@click.option("--codecs", metavar="SPEC", help="As for `lateint index`; the plan compares other codecs with them.")
@click.option("--queries", metavar="FILE", help="Queries to time. Default: words of the corpus.")
@click.option("--store", type=click.Path(), help="Future path of the store, for its free disk space. Default: here.")
@click.option("--sample", type=click.IntRange(min=1), default=1_000, show_default=True, help="Documents in the sample.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the sample.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON with each value and its interval.")
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
    """Encode a random sample of a corpus and estimate the whole: bytes, hours, milliseconds per query, free disk space.

    Brackets hold 95 % intervals over the sample. Times hold for this machine under its current load.

    \b
    Example:
      lateint plan --corpus collection.tsv --store my-store
    """
    from lateint_eval.formats import read_queries

    texts = None if queries is None else list(read_queries(queries).values())
    plan = make_plan(
        choice.load(), corpus, store, codecs=codecs, queries=texts, chunks=cutting.make(), sample=sample, seed=seed
    )
    echo(json.dumps(plan.to_json(), indent=2) if as_json else plan_text(plan))


def make_plan(
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
    """Plan the corpus at a path."""
    from lateint.cli.corpus import read_documents
    from lateint_eval.planning import plan as planning
    from lateint_store import parse_codecs

    return planning.make_plan(
        model,
        read_documents(corpus),
        codecs=None if codecs is None else parse_codecs(codecs),
        queries=queries,
        chunks=chunks,
        sample=sample,
        beside=None if store is None else Path(store),
        seed=seed,
    )


def plan_text(plan: Plan) -> str:
    """The plan as text."""
    from lateint_eval.planning.text import plan_lines

    return "\n".join(plan_lines(plan))
