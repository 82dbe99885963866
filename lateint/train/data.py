"""What training reads: queries with judged documents and a first stage's candidates, labelled pairs, or texts, as examples.

Example i depends on the seed and i alone, so that an interrupted run draws the same examples when it goes on, and two
students trained from one seed see the same lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lateint.errors import InputError
from lateint.model.document import Document


@dataclass(frozen=True, slots=True)
class Example:
    """A query and documents to compare for it, with a label each: 1 relevant, 0 not known to be, or a graded share."""

    query: str
    documents: tuple[Document, ...]
    labels: tuple[float, ...]


@dataclass(frozen=True)
class TrainingSet:
    """One ranking source.

    `positives`: query id -> relevant ids, each with its level, 1 and up; `candidates`: query id -> first-stage ids, best first.
    """

    name: str
    queries: Mapping[str, str]
    positives: Mapping[str, Mapping[str, int]]
    candidates: Mapping[str, Sequence[str]]
    documents: Mapping[str, Document]

    @cached_property
    def usable(self) -> list[str]:
        """Queries with text, a relevant document whose text is here, and candidates."""
        return [
            query
            for query, found in self.positives.items()
            if query in self.queries and self.candidates.get(query) and any(d in self.documents for d in found)
        ]

    @cached_property
    def pool(self) -> list[str]:
        """All document ids, for random negatives."""
        return list(self.documents)

    def check(self, negatives: int) -> None:
        """Raise InputError if no list of a positive and `negatives` can be drawn."""
        if not self.usable:
            raise InputError(f"training set {self.name!r} has no query with text, a relevant document and candidates")
        if len(self.pool) <= negatives:
            raise InputError(f"training set {self.name!r} has {len(self.pool)} documents; {negatives} negatives need more")

    def example(self, place: int, negatives: int, depth: int, random: np.random.Generator) -> Example:
        """A random query's list: one positive, then `negatives` of the best `depth` candidates, filled up at random.

        A candidate of a lower level than the positive's is a negative too: graded judgements say which of two is better.
        """
        query = self.usable[random.integers(len(self.usable))]
        levels = self.positives[query]
        relevant = [d for d in levels if d in self.documents]
        positive = relevant[random.integers(len(relevant))]
        worse = (d for d in self.candidates[query][:depth] if levels.get(d, 0) < levels[positive])
        others = [d for d in worse if d in self.documents]
        chosen = [str(d) for d in random.choice(others, min(negatives, len(others)), replace=False)] if others else []
        taken = {*relevant, *chosen}
        while len(chosen) < negatives:
            drawn = self.pool[random.integers(len(self.pool))]
            if drawn not in taken or len(taken) >= len(self.pool):
                chosen.append(drawn)
                taken.add(drawn)
        documents = tuple(self.documents[d] for d in (positive, *chosen))
        return Example(self.queries[query], documents, (1.0, *(0.0 for _ in chosen)))

    def sample(self, number: int, random: np.random.Generator) -> tuple[list[str], list[Document]]:
        """Some queries and documents, for what is fitted before the first step."""
        queries = [self.queries[query] for query in self.usable[:number]]
        places = random.choice(len(self.pool), min(number, len(self.pool)), replace=False)
        return queries, [self.documents[self.pool[i]] for i in places]


@dataclass(frozen=True)
class PairSet:
    """Labelled sentence pairs; labels lie in 0..1. Every pair comes once before any comes twice."""

    name: str
    pairs: Sequence[tuple[str, str]]
    labels: Sequence[float]
    seed: int = 0

    def check(self, negatives: int) -> None:
        """Raise InputError if there is no pair, or a label outside 0..1."""
        if not self.pairs:
            raise InputError(f"training set {self.name!r} holds no pair")
        if odd := [label for label in self.labels if not 0 <= label <= 1]:
            raise InputError(f"training set {self.name!r} has the label {odd[0]}; expected 0..1")

    def example(self, place: int, negatives: int, depth: int, random: np.random.Generator) -> Example:
        """Pair number `place` of an endless shuffle, its first text as the query."""
        turn, at = divmod(place, len(self.pairs))
        number = int(np.random.default_rng((self.seed, turn)).permutation(len(self.pairs))[at])
        first, second = self.pairs[number]
        return Example(first, (Document(str(number), second),), (float(self.labels[number]),))

    def sample(self, number: int, random: np.random.Generator) -> tuple[list[str], list[Document]]:
        """Some first and second texts, for what is fitted before the first step."""
        places = random.choice(len(self.pairs), min(number, len(self.pairs)), replace=False)
        chosen = [self.pairs[i] for i in places]
        return [first for first, _ in chosen], [Document(str(i), second) for i, (_, second) in enumerate(chosen)]


@dataclass(frozen=True)
class TextSet:
    """Texts without labels, for losses that compare no candidates. Every text comes once before any comes twice."""

    name: str
    texts: Sequence[str]
    seed: int = 0

    def check(self, negatives: int) -> None:
        """Raise InputError if there is no text."""
        if not self.texts:
            raise InputError(f"training set {self.name!r} holds no text")

    def example(self, place: int, negatives: int, depth: int, random: np.random.Generator) -> Example:
        """Text number `place` of an endless shuffle, as query and document alike."""
        turn, at = divmod(place, len(self.texts))
        number = int(np.random.default_rng((self.seed, turn)).permutation(len(self.texts))[at])
        return Example(self.texts[number], (Document(str(number), self.texts[number]),), (1.0,))

    def sample(self, number: int, random: np.random.Generator) -> tuple[list[str], list[Document]]:
        """Some texts as queries, and again as documents, for what is fitted before the first step."""
        places = random.choice(len(self.texts), min(number, len(self.texts)), replace=False)
        chosen = [self.texts[int(i)] for i in places]
        return chosen, [Document(str(i), text) for i, text in enumerate(chosen)]


Source = TrainingSet | PairSet | TextSet


class Sampler:
    """Draws examples from several sources in turn, so that a large one does not drown a small one.

    Args: `sets`; `negatives` a query, drawn from the `depth` best candidates; `shares`, how often each source's turn
    comes; `seed`.
    Raises: InputError for a source from which nothing can be drawn.
    """

    def __init__(
        self,
        sets: Sequence[Source],
        negatives: int,
        *,
        shares: Mapping[str, int] | None = None,
        depth: int = 30,
        seed: int = 0,
    ) -> None:
        self.negatives, self.depth, self.seed = negatives, depth, seed
        for source in sets:
            source.check(negatives)
        self.turns = [source for source in sets for _ in range((shares or {}).get(source.name, 1))]

    def example(self, place: int) -> Example:
        """Example number `place`: the same whenever it is asked for."""
        turn, at = divmod(place, len(self.turns))
        source = self.turns[at]
        earlier = self.turns[:at].count(source) + turn * self.turns.count(source)
        random = np.random.default_rng((self.seed, place))
        return source.example(earlier, self.negatives, self.depth, random)
