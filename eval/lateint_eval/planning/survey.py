"""One pass over a corpus: the number of documents, their lengths, and a random sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lateint.model.document import Document
from lateint_store.errors import InputError

_BINS_A_DOUBLING = 4


@dataclass(frozen=True, slots=True)
class Survey:
    """Number of documents, number of documents in each length bin, and a sample in random order."""

    documents: int
    lengths: Counter[int]
    sample: list[Document]


def length_bin(document: Document) -> int:
    """Return the bin of a document's length in characters; bins are equally wide on a logarithmic scale."""
    return int(_BINS_A_DOUBLING * math.log2(len(document.full_text) + 1))


def survey(documents: Iterable[Document], size: int, seed: int = 0) -> Survey:
    """Read a corpus once and draw a uniform sample (reservoir sampling).

    Raises: InputError for an empty corpus. Cost: reading the corpus; memory for the sample only.
    """
    random = np.random.default_rng(seed)
    lengths: Counter[int] = Counter()
    sample: list[Document] = []
    number = 0
    for number, document in enumerate(documents, 1):
        lengths[length_bin(document)] += 1
        if len(sample) < size:
            sample.append(document)
        elif (index := int(random.integers(number))) < size:
            sample[index] = document
    if not sample:
        raise InputError("the corpus has no document; expected at least one")
    return Survey(number, lengths, [sample[index] for index in random.permutation(len(sample))])
