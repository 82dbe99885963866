"""`lateint rank --engine`: rank over a store or a set on several machines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import click

from lateint.cli.options import ModelChoice

if TYPE_CHECKING:
    from lateint.cli.rank_input import RankInput
    from lateint.model.model import Model


@dataclass(frozen=True, slots=True)
class RankOnRay:
    """Where to rank, and what: the options that the engine knows. `folder`: of finished parts, beside the run."""

    engine: str
    workers: int | None
    store: str
    folder: str
    aggregate: str | None
    top_k: int | None

    def rank(self, choice: ModelChoice, given: RankInput) -> Iterator[tuple[str, list[tuple[str, float]]]]:
        """Yield the ranking of each query, by its id. Raises: as `RankInput.read` and `rank_set`."""
        from lateint.cluster.build import WorkerSpec
        from lateint.cluster.rank import rank_set
        from lateint.indexing.store import open_store

        one = replace(choice, threads=choice.threads or 1)
        with open_store(self.store) as store, _bar() as report:
            load = _Loader(one, self.store)
            queries = ((entry.query_id, query, list(entry.doc_ids)) for query, entry, _ in given.read(store))
            yield from rank_set(
                load, store, queries, self.folder, workers=WorkerSpec(engine=self.engine, workers=self.workers),
                aggregate=self.aggregate, top_k=self.top_k, report=report,
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Loader:
    """Loads the model of a store, on any machine; it is pickled."""

    choice: ModelChoice
    store: str

    def __call__(self) -> Model:
        from lateint.indexing.store import open_store

        with open_store(self.store) as store:
            return self.choice.load_for(store)


def check_rank_engine(engine: str | None, workers: int | None, **others: object) -> None:
    """Refuse options that do not go with the engine. Raises: click.UsageError; InputError for another engine."""
    if engine is None:
        if workers is not None:
            raise click.UsageError("--workers belongs to --engine")
        return
    from lateint.cluster.connection import parse_engine

    parse_engine(engine)
    for name, value in others.items():
        if value not in (None, ()):
            raise click.UsageError(f"--{name.replace('_', '-')} does not go with --engine")


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None] | None]:
    """Show candidates/s and the time left at a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(unit=" candidates", file=sys.stderr, mininterval=1.0, dynamic_ncols=True) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
