"""`lateint index`: encode a corpus into a store."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

from lateint.cli.corpus import Corpus, corpus_options
from lateint.cli.index_on_ray import EngineChoice, IndexRequest, build_on_ray, engine_options
from lateint.cli.options import ChunkChoice, ModelChoice, chunk_options, model_options, parse_shard
from lateint.cli.printing import echo
from lateint_store.arguments import as_path

if TYPE_CHECKING:
    from lateint.indexing.chunks import Chunks
    from lateint.indexing.progress import BuildProgress, Reporter
    from lateint.indexing.store import Store
    from lateint.model.model import Model

_LARGE = 100_000  # documents; a larger corpus is encoded only after its plan was shown


@click.command("index")
@click.option("--store", required=True, type=click.Path(), help="Folder of the store; an unfinished store is continued.")
@click.option("--codecs", metavar="SPEC", help='Codecs of the arrays, e.g. "states=cast:float16+zstd;vector=int8".')
@click.option(
    "--shard", metavar="I/N", help="Encode every N-th window from window I on; `lateint store merge` joins the stores."
)
@click.option("--windows", metavar="FILE", help="Plan of `lateint corpus windows`: a shard reads only its own part.")
@click.option(
    "--map-size", type=click.IntRange(1 << 20), metavar="BYTES",
    help="Address space to write a shard of a new store, and the most that it can hold. Default: 64 GiB.",
)  # fmt: skip
@engine_options
@click.option("--progress/--no-progress", default=None, help="Show progress. Default: at a terminal.")
@click.option("--yes", is_flag=True, help=f"Encode a corpus above {_LARGE:,} documents without showing its plan first.")
@corpus_options
@chunk_options
@model_options
def command(
    choice: ModelChoice,
    cutting: ChunkChoice,
    corpus: Corpus,
    engine: EngineChoice,
    store: str,
    codecs: str | None,
    shard: str | None,
    windows: str | None,
    map_size: int | None,
    progress: bool | None,
    yes: bool,
) -> None:
    """Run the document layers once over a corpus and store their outputs.

    To continue after an interruption, repeat the command. With --chunk-tokens each chunk of a document becomes an entry,
    prefixed with the title; `lateint rank` combines their scores.

    A pipe must say how it ends (--documents or --allow-eof), as it also ends where its command fails; else the exit code is 1.

    \b
    Example:
      lateint index --corpus collection.tsv --store my-store
      lateint index --model all-MiniLM-L6-v2 --method mice --corpus beir-folder --store mice-store
      lateint index --corpus msmarco-docs.tsv.gz --store docs --chunk-tokens 256 --chunk-overlap 64
      lateint index --corpus /shared/collection.tsv --store /shared/my-set --engine ray://head:6379 --shards 64
    """
    engine.check(shard)
    request = IndexRequest(corpus, store, windows, codecs, map_size, progress)
    if engine.engine is not None:
        build_on_ray(choice, cutting, engine, request)
    else:
        _build_here(choice, cutting, request, parse_shard(shard), yes)


def _build_here(
    choice: ModelChoice, cutting: ChunkChoice, request: IndexRequest, part: tuple[int, int] | None, yes: bool
) -> None:
    """Build a store in this process."""
    from lateint.indexing.build import build_store

    corpus, store, pipelines = request.corpus, request.store, request.pipelines
    chunks, documents, model = cutting.make(), corpus.open(request.windows), choice.load()
    if not yes:
        _confirm(model, corpus, store, request.codecs, chunks)
    seen: list[BuildProgress] = []
    build = partial(build_store, chunks=chunks, shard=part, window=corpus.window, map_size=request.map_size)
    with _reporter(request.progress, corpus, seen) as report, corpus.explained_duplicates():
        total = _entries(build(model, documents, store, pipelines, report))
    echo("\n".join(_summary(f"in {store}", total, seen, chunks, model)), err=True)
    corpus.check_end()


def _entries(built: Store) -> int:
    """Close a finished store, and return how many entries it has."""
    with built:
        return len(built)


@contextmanager
def _reporter(wanted: bool | None, corpus: Corpus, seen: list[BuildProgress]) -> Iterator[Reporter]:
    """Give a callable that appends the progress of each window to `seen`, and shows it if wanted (None: at a terminal)."""
    from lateint.indexing.progress import reporter

    shown = sys.stderr.isatty() if wanted is None else wanted
    with reporter(shown, corpus.count() if shown else None) as report:

        def observe(now: BuildProgress) -> None:
            seen.append(now)
            report(now)

        yield observe


def _confirm(model: Model, corpus: Corpus, store: str, codecs: str | None, chunks: Chunks | None) -> None:
    """Show the plan of a new store of a large corpus and ask. Raises: InputError without a terminal, or if the answer is no."""
    from lateint.cli.plan import make_plan, plan_text
    from lateint.errors import InputError
    from lateint_store.format.manifest import MANIFEST_FILE

    if (as_path(store, "--store") / MANIFEST_FILE).exists() or not corpus.is_larger_than(_LARGE):
        return
    echo(plan_text(make_plan(model, corpus.path, store, codecs=codecs, chunks=chunks)), err=True)
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(f"{corpus.path} has more than {_LARGE:,} documents: check the plan above, then add --yes")
    if not click.confirm("Encode it?", err=True):
        raise InputError("nothing was encoded")


def _summary(where: str, total: int, seen: list[BuildProgress], chunks: Chunks | None, model: Model) -> Iterator[str]:
    """Yield lines with the number of encoded documents, and of those that were truncated."""
    encoded, cut = sum(now.documents for now in seen), sum(now.cut for now in seen)
    new = encoded - sum(now.again for now in seen)
    if chunks is None:
        yield f"{total} documents {where}, {new} of them new"
    else:
        yield f"{total} chunks {where}; {new} documents are new"
    if cut:
        longest = f"at {model.method.document.max_length} tokens (--doc-max-length)"
        place = longest if chunks is None or chunks.limit is None else f"after {chunks.limit} chunks (--max-chunks)"
        yield f"{cut} documents ({100 * cut / encoded:.1f} %) were cut {place}"
