"""`lateint index --engine`: build a set on several machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import click

from lateint.cli.corpus import Corpus, make_plan
from lateint.cli.options import ChunkChoice, ModelChoice, add_options, gathered
from lateint.cli.printing import echo

if TYPE_CHECKING:
    from lateint.cluster.build import SetProgress, SetReporter
    from lateint.indexing.windows import PlannedDocuments
    from lateint.methods.registry import Part

C = TypeVar("C", bound=Callable[..., object])

_OPTIONS = (
    click.option("--engine", metavar="ENGINE", help="Build on Ray: ray (here), ray:auto, or ray://HOST[:PORT] of its head."),
    click.option("--shards", type=click.IntRange(min=1), metavar="N", help="With --engine: members of the set."),
    click.option("--workers", type=click.IntRange(min=1), metavar="W", help="With --engine: processes. Default: what fits."),
    click.option("--gpus-per-worker", type=click.FloatRange(min=0), metavar="G", help="With --engine: GPUs of each."),
    click.option("--scratch", type=click.Path(), help="With --engine: folder of each machine for unfinished shards."),
)


@dataclass(frozen=True, slots=True)
class EngineChoice:
    """The options of a build on several machines."""

    engine: str | None
    shards: int | None
    workers: int | None
    gpus_per_worker: float | None
    scratch: str | None

    def check(self, shard: str | None) -> None:
        """Refuse options that contradict each other. Raises: click.UsageError; InputError for another engine."""
        if self.engine is None:
            for name in ("shards", "workers", "gpus_per_worker", "scratch"):
                if getattr(self, name) is not None:
                    raise click.UsageError(f"--{name.replace('_', '-')} belongs to --engine")
            return
        from lateint.cluster.connection import parse_engine

        parse_engine(self.engine)
        if self.shards is None:
            raise click.UsageError("--engine needs --shards: the number of stores that the set consists of")
        if shard is not None:
            raise click.UsageError("--shard builds one shard here, --engine all of them; give one of both")


@dataclass(frozen=True, slots=True)
class IndexRequest:
    """What is built, and where."""

    corpus: Corpus
    store: str
    windows: str | None
    codecs: str | None
    map_size: int | None
    progress: bool | None

    @property
    def pipelines(self) -> dict[str, tuple[Part, ...]] | None:
        """The codecs of each array; None for those of the method. Raises: InputError."""
        from lateint_store import parse_codecs

        return None if self.codecs is None else parse_codecs(self.codecs)


def engine_options(command: C) -> C:
    """Add the options; the command gets them as one `engine`."""
    return add_options(_OPTIONS, gathered(EngineChoice, "engine")(command))


def build_on_ray(choice: ModelChoice, cutting: ChunkChoice, engine: EngineChoice, request: IndexRequest) -> None:
    """Build the set, and print what it holds."""
    from lateint.cluster.build import WorkerSpec, build_set

    chunks = cutting.make()
    documents = _planned(request, 512 if chunks is None else 64)
    one = replace(choice, threads=choice.threads or 1)
    theirs = replace(one, device=choice.device or ("cuda" if engine.gpus_per_worker else None))
    spread = WorkerSpec(
        engine=engine.engine or "ray",
        workers=engine.workers,
        gpus=engine.gpus_per_worker or 0.0,
        cpus=choice.threads or 1,
        scratch=engine.scratch,
        load=theirs.load,
    )
    shown = sys.stderr.isatty() if request.progress is None else request.progress
    with _bar(shown, len(documents)) as report:
        built = build_set(
            replace(one, device=None).load, documents, request.store, request.pipelines,
            shards=engine.shards or 1, workers=spread, chunks=chunks, map_size=request.map_size, report=report,
        )  # fmt: skip
    with built:
        echo(
            f"{len(built)} entries of {len(documents)} documents in {request.store}, a set of {engine.shards} stores", err=True
        )


def _planned(request: IndexRequest, window: int) -> PlannedDocuments:
    """The corpus by its plan: the one that is given, or that the folder of the set holds since the first call."""
    from lateint.cluster.build_job import PLAN_FILE, refuse_other
    from lateint.indexing.windows import WindowPlan
    from lateint_store.arguments import as_path
    from lateint_store.disk.files import disk_errors, make_folder

    kept = as_path(request.store, "--store").absolute() / PLAN_FILE
    if request.windows is None and not kept.exists():
        refuse_other(kept.parent)
        with disk_errors(kept.parent, "create"):
            make_folder(kept.parent)
        make_plan(request.corpus.path, window).save(kept)
    path = request.windows or str(kept)
    found = request.corpus.planned(WindowPlan.load(path), path)
    return type(found)(found.plan, found.file.absolute(), found.read)


@contextmanager
def _bar(shown: bool, total: int) -> Iterator[SetReporter | None]:
    """Show documents/s, the time left, published shards and workers on standard error."""
    if not shown:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=" documents", file=sys.stderr, mininterval=1.0, dynamic_ncols=True) as bar:

        def report(now: SetProgress) -> None:
            bar.set_postfix_str(f"{now.published}/{now.shards} shards, {now.workers} workers", refresh=False)
            bar.update(now.documents - bar.n)

        yield report
