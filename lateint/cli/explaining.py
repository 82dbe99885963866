"""`lateint rank --explain`: write which words made the scores of the best hits, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING

import click

from lateint.cli.options import C, add_options, gathered

if TYPE_CHECKING:
    from lateint.model.document import Document
    from lateint.ranking.ranker import Ranker
    from lateint.results import Ranking

_HITS = 10
_OPTIONS = (
    click.option("--explain", metavar="FILE", help="Write which words made the scores of the best hits, as JSON lines."),
    click.option(
        "--explain-hits", type=click.IntRange(min=1), metavar="N", help=f"Hits of each query to explain. Default: {_HITS}."
    ),
)


@dataclass(frozen=True, slots=True)
class ExplainChoice:
    """The explain options of one call."""

    explain: str | None
    explain_hits: int | None

    def check(self, **others: object) -> None:
        """Refuse options without their file, and options whose scores are of other heads. Raises: click.UsageError."""
        if self.explain is None:
            if self.explain_hits is not None:
                raise click.UsageError("--explain-hits belongs to --explain")
            return
        for name, value in others.items():
            if value:
                option = "--" + name.replace("_", "-")
                raise click.UsageError(f"--explain explains the scores of one head, and {option} mixes those of several")

    @contextmanager
    def opened(self) -> Iterator[Explanations | None]:
        """Open the file; None without one. Raises: InputError if it cannot be written."""
        from lateint_eval.formats.output import replacing

        if self.explain is None:
            yield None
            return
        with replacing(self.explain) as write:
            yield Explanations(write, self.explain_hits or _HITS)


class Explanations:
    """Writes one line for each of the best hits of a query: `query_id`, `rank`, and the fields of an `Explanation`."""

    def __init__(self, write: Callable[[str], object], hits: int) -> None:
        self._write, self._hits = write, hits

    def add(self, ranker: Ranker, query: tuple[str, str], documents: Sequence[Document] | None, ranking: Ranking) -> None:
        """Explain the best hits. `query`: id and text; `documents`: those that the ranking encoded.

        Raises: InputError for a head that cannot explain.
        """
        query_id, text = query
        best = list(islice(ranking, self._hits))
        held = set() if ranker.store is None else ranker.store.held([hit.doc_id for hit in best])
        texts = {document.id: document for document in documents or ()}
        for rank, hit in enumerate(best, 1):
            stored = hit.doc_id in held
            found = ranker.explain(text, hit.doc_id) if stored else ranker.explain(text, text=texts[hit.doc_id])
            self._write(json.dumps({"query_id": query_id, "rank": rank, **asdict(found)}) + "\n")


def explain_options(command: C) -> C:
    """Add the explain options; the command gets them as one `explaining`."""
    return add_options(_OPTIONS, gathered(ExplainChoice, "explaining")(command))
