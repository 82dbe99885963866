"""`lateint index`: a corpus into a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lateint.cli.corpus import _count, explained_duplicates, read_documents
from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, model_options, parse_shard

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.indexing.progress import BuildProgress
    from lateint.model.model import Model

LARGE = 100_000  # documents; more wait for a look at the plan


@click.command("index")
@click.option(
    "--corpus", required=True, metavar="FILE", help="MS MARCO TSV (passages or documents), BEIR, JSONL, irds:ID or -."
)
@click.option("--store", required=True, type=click.Path(), help="Folder of the store; an unfinished one is continued.")
@click.option("--codecs", metavar="SPEC", help='E.g. "states=cast:float16+zstd;vector=int8".')
@click.option("--shard", metavar="I/N", help="Encode every N-th window from window I; `lateint store merge` joins them.")
@click.option("--progress/--no-progress", default=None, help="Default: on at a terminal.")
@click.option("--yes", is_flag=True, help=f"Do not show the plan of a corpus above {LARGE:,} documents first.")
@chunk_options
@model_options
def command(
    choice: ModelChoice,
    cutting: ChunkChoice,
    corpus: str,
    store: str,
    codecs: str | None,
    shard: str | None,
    progress: bool | None,
    yes: bool,
) -> None:
    """Run the document layers once over a corpus and keep what comes out.

    Killed at any point, the same command continues where the last window was committed. With --chunk-tokens a
    document becomes entries, each with the title in front, and `lateint rank` makes one score of theirs.

    \b
    Example:
      lateint index --corpus collection.tsv --store my-store
      lateint index --model all-MiniLM-L6-v2 --method mice --corpus beir-folder --store mice-store
      lateint index --corpus msmarco-docs.tsv.gz --store docs --chunk-tokens 256 --chunk-overlap 64
    """
    from lateint.indexing.build import build_store
    from lateint.indexing.progress import reporter
    from lateint_store import parse_codecs

    chosen, part, chunks = None if codecs is None else parse_codecs(codecs), parse_shard(shard), cutting.make()
    model = choice.load()
    if not yes and _is_large(corpus, store):
        _confirm(model, corpus, store, codecs, chunks)
    seen: list[BuildProgress] = []
    wanted = sys.stderr.isatty() if progress is None else progress
    with reporter(wanted, _count(corpus) if wanted else None) as report, explained_duplicates(corpus):

        def watch(now: BuildProgress) -> None:
            seen.append(now)
            report(now)

        with build_store(model, read_documents(corpus), store, chosen, watch, chunks=chunks, shard=part) as built:
            total = len(built)
    click.echo("\n".join(_summary(f"in {store}", total, seen, chunks, model)), err=True)


def _is_large(corpus: str, store: str) -> bool:
    """Whether a new store of this corpus wants a look at its plan; standard input cannot be read twice."""
    from lateint_store.format.manifest import MANIFEST_FILE

    if corpus == "-" or (Path(store) / MANIFEST_FILE).exists():
        return False
    return sum(1 for _ in islice(read_documents(corpus), LARGE + 1)) > LARGE


def _confirm(model: Model, corpus: str, store: str, codecs: str | None, chunks: Chunks | None) -> None:
    """Show the plan and ask, at a terminal. Raises: InputError where nobody can answer, or the answer is no."""
    from lateint.cli.plan import make, written
    from lateint.errors import InputError

    click.echo(written(make(model, corpus, store, codecs=codecs, chunks=chunks)), err=True)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"{corpus} has more than {LARGE:,} documents: see the plan above, and add --yes to go on")
    if not click.confirm("Encode it?", err=True):
        raise InputError("nothing was encoded")


def _summary(where: str, total: int, seen: list[BuildProgress], chunks: Chunks | None, model: Model) -> Iterator[str]:
    """What was done, and how many documents lost their end."""
    encoded, cut = sum(now.documents for now in seen), sum(now.cut for now in seen)
    if chunks is None:
        yield f"{total} documents {where}, {encoded} of them new"
    else:
        yield f"{total} chunks {where}; {encoded} documents are new"
    if cut:
        longest = f"at {model.method.document.max_length} tokens (--doc-max-length)"
        place = longest if chunks is None else f"after {chunks.limit} chunks (--max-chunks)"
        yield f"{cut} documents ({100 * cut / encoded:.1f} %) were cut {place}"
