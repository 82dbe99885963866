"""`lateint index`: encode a corpus into a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lateint.cli.corpus import count_documents, explained_duplicates, read_documents
from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, model_options, parse_shard

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.indexing.progress import BuildProgress, Reporter
    from lateint.model.model import Model

_LARGE = 100_000  # documents; a larger corpus is encoded only after its plan was shown


@click.command("index")
@click.option(
    "--corpus", required=True, metavar="FILE", help="MS MARCO TSV (passages or documents), BEIR, JSONL, irds:ID or -."
)
@click.option("--store", required=True, type=click.Path(), help="Folder of the store; an unfinished store is continued.")
@click.option("--codecs", metavar="SPEC", help='Codecs of the arrays, e.g. "states=cast:float16+zstd;vector=int8".')
@click.option(
    "--shard", metavar="I/N", help="Encode every N-th window from window I on; `lateint store merge` joins the stores."
)
@click.option(
    "--map-size", type=click.IntRange(1 << 20), metavar="BYTES",
    help="Address space to write a shard of a new store, and the most that it can hold. Default: 64 GiB.",
)  # fmt: skip
@click.option("--progress/--no-progress", default=None, help="Show progress. Default: at a terminal.")
@click.option("--yes", is_flag=True, help=f"Encode a corpus above {_LARGE:,} documents without showing its plan first.")
@chunk_options
@model_options
def command(
    choice: ModelChoice,
    cutting: ChunkChoice,
    corpus: str,
    store: str,
    codecs: str | None,
    shard: str | None,
    map_size: int | None,
    progress: bool | None,
    yes: bool,
) -> None:
    """Run the document layers once over a corpus and store their outputs.

    To continue after an interruption, repeat the command: it starts at the last committed window. With --chunk-tokens
    each chunk of a document becomes an entry, prefixed with the title; `lateint rank` combines their scores.

    \b
    Example:
      lateint index --corpus collection.tsv --store my-store
      lateint index --model all-MiniLM-L6-v2 --method mice --corpus beir-folder --store mice-store
      lateint index --corpus msmarco-docs.tsv.gz --store docs --chunk-tokens 256 --chunk-overlap 64
    """
    from lateint.indexing.build import build_store
    from lateint.indexing.progress import reporter
    from lateint_store import parse_codecs

    pipelines, part = None if codecs is None else parse_codecs(codecs), parse_shard(shard)
    chunks, model = cutting.make(), choice.load()
    if not yes and _is_large(corpus, store):
        _confirm(model, corpus, store, codecs, chunks)
    seen: list[BuildProgress] = []
    shown = sys.stderr.isatty() if progress is None else progress
    with reporter(shown, count_documents(corpus) if shown else None) as report, explained_duplicates(corpus):
        texts, observe = read_documents(corpus), _observer(seen, report)
        with build_store(model, texts, store, pipelines, observe, chunks=chunks, shard=part, map_size=map_size) as built:
            total = len(built)
    click.echo("\n".join(_summary(f"in {store}", total, seen, chunks, model)), err=True)


def _observer(seen: list[BuildProgress], report: Reporter) -> Reporter:
    """Keep what a build reports, and pass it on."""

    def observe(now: BuildProgress) -> None:
        seen.append(now)
        report(now)

    return observe


def _is_large(corpus: str, store: str) -> bool:
    """True for a new store of a large corpus, except from standard input, which cannot be read twice."""
    from lateint_store.format.manifest import MANIFEST_FILE

    if corpus == "-" or (Path(store) / MANIFEST_FILE).exists():
        return False
    return sum(1 for _ in islice(read_documents(corpus), _LARGE + 1)) > _LARGE


def _confirm(model: Model, corpus: str, store: str, codecs: str | None, chunks: Chunks | None) -> None:
    """Show the plan and ask for confirmation. Raises: InputError without a terminal, or if the answer is no."""
    from lateint.cli.plan import make_plan, plan_text
    from lateint.errors import InputError

    click.echo(plan_text(make_plan(model, corpus, store, codecs=codecs, chunks=chunks)), err=True)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"{corpus} has more than {_LARGE:,} documents: check the plan above, then add --yes")
    if not click.confirm("Encode it?", err=True):
        raise InputError("nothing was encoded")


def _summary(where: str, total: int, seen: list[BuildProgress], chunks: Chunks | None, model: Model) -> Iterator[str]:
    """Yield lines with the number of encoded documents, and of those that were truncated."""
    encoded, cut = sum(now.documents for now in seen), sum(now.cut for now in seen)
    if chunks is None:
        yield f"{total} documents {where}, {encoded} of them new"
    else:
        yield f"{total} chunks {where}; {encoded} documents are new"
    if cut:
        longest = f"at {model.method.document.max_length} tokens (--doc-max-length)"
        place = longest if chunks is None else f"after {chunks.limit} chunks (--max-chunks)"
        yield f"{cut} documents ({100 * cut / encoded:.1f} %) were cut {place}"
