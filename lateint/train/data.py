"""What training reads: queries with judged documents and a first stage's candidates, sampled into lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lateint.errors import InputError
from lateint.model import Document


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """One source. `positives`: query id -> relevant ids; `candidates`: query id -> first-stage ids, best first.

    `judged` holds ids that are known to be not relevant, where a set has them; they may serve as negatives too.
    """

    name: str
    queries: Mapping[str, str]
    positives: Mapping[str, Sequence[str]]
    candidates: Mapping[str, Sequence[str]]
    documents: Mapping[str, Document]

    def usable(self) -> list[str]:
        """Queries with text, at least one relevant document, and candidates."""
        return [q for q in self.positives if q in self.queries and self.candidates.get(q) and self.positives[q]]


@dataclass(frozen=True, slots=True)
class Example:
    """A query and documents to compare for it; the first is relevant, the others are not known to be."""

    query: str
    documents: tuple[Document, ...]


class Sampler:
    """Draws examples from several sources in turn, so that a large one does not drown a small one.

    Args: `sets`; `shares`, how often each source's turn comes; `negatives` a query, drawn from the `depth` best
    candidates, filled up with random documents; `seed`.
    """

    def __init__(
        self,
        sets: Sequence[TrainingSet],
        negatives: int,
        *,
        shares: Mapping[str, int] | None = None,
        depth: int = 30,
        seed: int = 0,
    ) -> None:
        self.negatives, self.depth = negatives, depth
        self.random = np.random.default_rng(seed)
        self.usable = {s.name: s.usable() for s in sets}
        if empty := [name for name, queries in self.usable.items() if not queries]:
            raise InputError(f"training set {empty[0]!r} has no query with text, a relevant document and candidates")
        self.pools = {s.name: list(s.documents) for s in sets}
        self.turns = [s for s in sets for _ in range((shares or {}).get(s.name, 1))]
        self.drawn = 0

    def draw(self) -> Example:
        """The next example."""
        source = self.turns[self.drawn % len(self.turns)]
        self.drawn += 1
        queries = self.usable[source.name]
        query = queries[self.random.integers(len(queries))]
        relevant = [d for d in source.positives[query] if d in source.documents]
        if not relevant:
            return self.draw()
        positive = relevant[self.random.integers(len(relevant))]
        others = [d for d in source.candidates[query][: self.depth] if d in source.documents and d not in relevant]
        chosen = list(self.random.choice(others, min(self.negatives, len(others)), replace=False)) if others else []
        pool = self.pools[source.name]
        while len(chosen) < self.negatives:
            chosen.append(pool[self.random.integers(len(pool))])
        ids = [positive, *(str(d) for d in chosen)]
        return Example(source.queries[query], tuple(source.documents[d] for d in ids))
