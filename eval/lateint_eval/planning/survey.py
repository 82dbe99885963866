"""One pass over a corpus: how many documents, how long they are, and a random sample of them."""

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
    """`lengths`: how many documents of the corpus lie in each bin of length; `sample` in random order."""

    documents: int
    lengths: Counter[int]
    sample: list[Document]


def length_bin(document: Document) -> int:
    """The bin of a document's length in characters: bins are equally wide on a logarithmic scale."""
    return int(_BINS_A_DOUBLING * math.log2(len(document.full_text) + 1))


def survey(documents: Iterable[Document], size: int, seed: int = 0) -> Survey:
    """Read a corpus once; every document is as likely to be in the sample as any other.

    Raises: InputError for an empty corpus. Cost: reading it; memory for the sample alone.
    """
    random = np.random.default_rng(seed)
    lengths: Counter[int] = Counter()
    sample: list[Document] = []
    number = 0
    for number, document in enumerate(documents, 1):
        lengths[length_bin(document)] += 1
        if len(sample) < size:
            sample.append(document)
        elif (place := int(random.integers(number))) < size:
            sample[place] = document
    if not sample:
        raise InputError("the corpus has no document; there is nothing to plan for")
    return Survey(number, lengths, [sample[place] for place in random.permutation(len(sample))])
