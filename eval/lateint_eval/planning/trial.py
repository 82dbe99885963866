"""Trial of a plan: encode, store and rank the sample as a build would do, in a temporary folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lateint.indexing.build import store_layout
from lateint.indexing.chunks import Chunks, Pieces, cut
from lateint.indexing.encoding import encode_window
from lateint.indexing.store import Store
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.ranking.ranker import Ranker
from lateint_store import Entry, Part, create_store

_PARTS = 4  # the sample is encoded in parts, each timed separately
_WARM_UP = 16  # documents
_FEWEST, _PATIENCE_MS = 5, 8_000  # after this many rankings and milliseconds, no more rankings are timed


@dataclass(frozen=True, slots=True)
class Trial:
    """The encoded sample: tokens per document, number of truncated documents, entries, seconds of each part."""

    tokens: list[int]
    cut: int
    owners: list[int]  # index of the document of each entry
    entries: list[Entry]
    seconds: list[float]  # of each part, per document, for encoding and writing


@dataclass(frozen=True, slots=True)
class TrialSize:
    """Bytes on disk: payloads of each document, overhead per document, and the size of an empty store."""

    payloads: list[int]
    beside: float
    empty: int


Codecs = Mapping[str, tuple[Part, ...]]


def encode_sample(model: Model, documents: Sequence[Document], folder: Path, codecs: Codecs, chunks: Chunks | None) -> Trial:
    """Encode, store and time the sample as a build with these codecs would do. Raises: SpecError, InputError."""
    pieces = Pieces(list(documents), [1] * len(documents)) if chunks is None else cut(chunks, model, documents)
    rows = model.document_tokens(pieces.documents)
    owners = np.repeat(np.arange(len(documents)), pieces.sizes)
    tokens = np.bincount(owners, [len(row) for row in rows], minlength=len(documents)).astype(int).tolist()
    encode_window(model, list(documents[:_WARM_UP]), 0, chunks)
    entries, seconds, lost = [], [], 0
    through, about = store_layout(model, codecs, chunks)
    with create_store(folder, through, kind=Store, **about) as store:
        for indices in np.array_split(np.arange(len(documents)), min(_PARTS, len(documents))):
            chosen = [documents[index] for index in indices]
            start = time.perf_counter()
            window = encode_window(model, chosen, int(indices[0]), chunks)
            store.append(window.entries, int(indices[-1]) + 1, "")
            seconds.append((time.perf_counter() - start) / len(chosen))
            entries += window.entries
            lost += window.cut
    return Trial(tokens, lost, owners.tolist(), entries, seconds)


def measure_size(model: Model, trial: Trial, folder: Path, codecs: Codecs, chunks: Chunks | None) -> TrialSize:
    """Measure the size of the encoded sample stored in some codecs. Raises: SpecError for codecs that do not fit."""
    through, about = store_layout(model, codecs, chunks)
    with create_store(folder, through, kind=Store, **about) as store:
        empty = int(store.info()["bytes"])
        window = store.manifest.window
        for start in range(0, len(trial.entries), window):
            store.append(trial.entries[start : start + window], start + window, "")
        kept = store.fetch([entry.id for entry in trial.entries]).payloads.values()
        sizes = [sum(map(len, payloads)) for payloads in zip(*kept, strict=True)]
        payloads = np.bincount(trial.owners, sizes, minlength=len(trial.tokens)).astype(int).tolist()
        beside = (int(store.info()["bytes"]) - empty - sum(sizes)) / len(payloads)
    return TrialSize(payloads, beside, empty)


def rank_times(ranker: Ranker, queries: Sequence[str], ids: Sequence[str], candidates: int, seed: int = 0) -> list[float]:
    """Return the milliseconds of ranking random candidates for each query, after one call that is not counted.

    Slow heads are timed on fewer queries: at least five, then until 8 seconds have passed.
    """
    random = np.random.default_rng(seed)
    taken: list[float] = []
    for query in (queries[0], *queries):
        chosen = [ids[int(index)] for index in random.choice(len(ids), candidates, replace=False)]
        taken.append(ranker.rank(query, chosen).timing.total_ms)
        if len(taken) > _FEWEST and sum(taken) > _PATIENCE_MS:
            break
    return taken[1:]
