"""Training data: ranking lists, labelled pairs or plain texts, and the sampler that draws examples from them.

Example i depends on the seed and i alone: a resumed run draws the same examples as the interrupted one, and students that
are trained with one seed see the same lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lateint.errors import InputError
from lateint.model.document import Document

UNKNOWN = float("nan")
"""The label of every document of a list without judgements; the teacher's best then counts as relevant."""


@dataclass(frozen=True, slots=True)
class Example:
    """A query and the documents to compare for it, each with a label: 1 relevant, 0 not known to be, or a grade between.

    All labels are `UNKNOWN` for a query without judgements.
    """

    query: str
    documents: tuple[Document, ...]
    labels: tuple[float, ...]

    @property
    def is_labelled(self) -> bool:
        """True if a label says which document is relevant."""
        return self.labels[0] == self.labels[0]


@dataclass(frozen=True)
class TrainingSet:
    """A ranking source: queries, judgements and the candidates of a first stage.

    `positives`: query id -> relevant ids, each with its level, 1 and up; `candidates`: query id -> first-stage ids, best first.
    `is_labelled`: False for a set without any judgement: its lists are drawn from candidates, and a teacher says what is
    relevant.
    """

    name: str
    queries: Mapping[str, str]
    positives: Mapping[str, Mapping[str, int]]
    candidates: Mapping[str, Sequence[str]]
    documents: Mapping[str, Document]
    is_labelled: bool = True

    @cached_property
    def usable(self) -> list[str]:
        """Ids of queries that have a text, candidates, and a document with a text: a relevant one if there are labels."""
        if not self.is_labelled:
            known = self.candidates.items()
            return [query for query, ids in known if query in self.queries and any(d in self.documents for d in ids)]
        return [
            query
            for query, levels in self.positives.items()
            if query in self.queries and self.candidates.get(query) and any(d in self.documents for d in levels)
        ]

    @cached_property
    def pool(self) -> list[str]:
        """The ids of all documents, from which random negatives are drawn."""
        return list(self.documents)

    def check(self, negatives: int) -> None:
        """Raise InputError if no list of one positive and `negatives` negatives can be drawn."""
        if not self.usable:
            relevant = ", a relevant document" if self.is_labelled else ""
            raise InputError(f"training set {self.name!r} has no query with text{relevant} and candidates")
        if len(self.pool) <= negatives:
            raise InputError(f"training set {self.name!r} has {len(self.pool)} documents; {negatives} negatives need more")

    def example(self, index: int, negatives: int, depth: int, random: np.random.Generator) -> Example:
        """Draw the list of a random query: one positive, then `negatives` of its best `depth` candidates.

        If there are too few candidates, random documents fill the list. A candidate with a lower level than the positive is
        a negative too: graded judgements say which of two relevant documents is better.
        """
        query = self.usable[random.integers(len(self.usable))]
        if not self.is_labelled:
            return self._unlabelled(query, negatives + 1, depth, random)
        levels = self.positives[query]
        relevant = [d for d in levels if d in self.documents]
        positive = relevant[random.integers(len(relevant))]
        worse = (d for d in self.candidates[query][:depth] if levels.get(d, 0) < levels[positive])
        others = [d for d in worse if d in self.documents]
        chosen = [str(d) for d in random.choice(others, min(negatives, len(others)), replace=False)] if others else []
        self._fill(chosen, negatives, {*relevant, *chosen}, random)
        documents = tuple(self.documents[d] for d in (positive, *chosen))
        return Example(self.queries[query], documents, (1.0, *(0.0 for _ in chosen)))

    def _unlabelled(self, query: str, number: int, depth: int, random: np.random.Generator) -> Example:
        """Draw `number` of the best `depth` candidates of a query without judgements."""
        known = [d for d in self.candidates[query] if d in self.documents][:depth]
        chosen = [str(d) for d in random.choice(known, min(number, len(known)), replace=False)]
        self._fill(chosen, number, set(chosen), random)
        return Example(self.queries[query], tuple(self.documents[d] for d in chosen), (UNKNOWN,) * number)

    def _fill(self, chosen: list[str], number: int, taken: set[str], random: np.random.Generator) -> None:
        """Add random documents to `chosen` until there are `number`, none of `taken` while there are others."""
        while len(chosen) < number:
            drawn = self.pool[random.integers(len(self.pool))]
            if drawn not in taken or len(taken) >= len(self.pool):
                chosen.append(drawn)
                taken.add(drawn)

    def sample(self, number: int, random: np.random.Generator) -> tuple[list[str], list[Document]]:
        """Sample queries and documents for parts that are fitted before the first step."""
        queries = [self.queries[query] for query in self.usable[:number]]
        indices = random.choice(len(self.pool), min(number, len(self.pool)), replace=False)
        return queries, [self.documents[self.pool[i]] for i in indices]


@dataclass(frozen=True)
class PairSet:
    """A source of labelled sentence pairs, labels in 0..1. Each pass over the pairs is in a new random order."""

    name: str
    pairs: Sequence[tuple[str, str]]
    labels: Sequence[float]
    seed: int = 0

    def check(self, negatives: int) -> None:
        """Raise InputError if there is no pair or a label outside 0..1."""
        if not self.pairs:
            raise InputError(f"training set {self.name!r} has no pair")
        if odd := [label for label in self.labels if not 0 <= label <= 1]:
            raise InputError(f"training set {self.name!r} has the label {odd[0]}; expected 0..1")

    def example(self, index: int, negatives: int, depth: int, random: np.random.Generator) -> Example:
        """Pair `index` of an endless shuffle; its first text is the query."""
        epoch, at = divmod(index, len(self.pairs))
        number = int(np.random.default_rng((self.seed, epoch)).permutation(len(self.pairs))[at])
        first, second = self.pairs[number]
        return Example(first, (Document(str(number), second),), (float(self.labels[number]),))

    def sample(self, number: int, random: np.random.Generator) -> tuple[list[str], list[Document]]:
        """Sample first and second texts for parts that are fitted before the first step."""
        indices = random.choice(len(self.pairs), min(number, len(self.pairs)), replace=False)
        chosen = [self.pairs[i] for i in indices]
        return [first for first, _ in chosen], [Document(str(i), second) for i, (_, second) in enumerate(chosen)]


@dataclass(frozen=True)
class TextSet:
    """A source of unlabelled texts, for losses that compare no candidates. Each pass is in a new random order."""

    name: str
    texts: Sequence[str]
    seed: int = 0

    def check(self, negatives: int) -> None:
        """Raise InputError if there is no text."""
        if not self.texts:
            raise InputError(f"training set {self.name!r} has no text")

    def example(self, index: int, negatives: int, depth: int, random: np.random.Generator) -> Example:
        """Text `index` of an endless shuffle, both as the query and as the only document."""
        epoch, at = divmod(index, len(self.texts))
        number = int(np.random.default_rng((self.seed, epoch)).permutation(len(self.texts))[at])
        return Example(self.texts[number], (Document(str(number), self.texts[number]),), (1.0,))

    def sample(self, number: int, random: np.random.Generator) -> tuple[list[str], list[Document]]:
        """Sample texts, as queries and again as documents, for parts that are fitted before the first step."""
        indices = random.choice(len(self.texts), min(number, len(self.texts)), replace=False)
        chosen = [self.texts[int(i)] for i in indices]
        return chosen, [Document(str(i), text) for i, text in enumerate(chosen)]


TrainingSource = TrainingSet | PairSet | TextSet


class Sampler:
    """Draws examples from several sources in turn, so that a small source is drawn as often as a large one.

    Args: `negatives` per query, drawn from the `depth` best candidates; `shares`, turns of each source in one round, by its
    name (default: one).
    Raises: InputError for a source from which nothing can be drawn.
    """

    def __init__(
        self,
        sources: Sequence[TrainingSource],
        negatives: int,
        *,
        shares: Mapping[str, int] | None = None,
        depth: int = 30,
        seed: int = 0,
    ) -> None:
        self.negatives, self.depth, self.seed = negatives, depth, seed
        for source in sources:
            source.check(negatives)
        self.turns = [source for source in sources for _ in range((shares or {}).get(source.name, 1))]

    def example(self, index: int) -> Example:
        """Draw example `index`: the same at every call."""
        rounds, at = divmod(index, len(self.turns))
        source = self.turns[at]
        earlier = self.turns[:at].count(source) + rounds * self.turns.count(source)
        random = np.random.default_rng((self.seed, index))
        return source.example(earlier, self.negatives, self.depth, random)
