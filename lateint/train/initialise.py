"""Initialise a model from data before the first step: compressors, codebooks and word weights that have a closed form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lateint.compressors.base import FitSample
from lateint.indexing.codecs import pipelines, round_trip
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.data import TrainingSource

SAMPLE = 500  # documents and queries of each source
TOKENS = 50_000  # at most this many token states of each source
_BATCH = 16


def initialise(model: Model, sets: Sequence[TrainingSource], seed: int = 0) -> dict[str, float]:
    """Fit every part of a model that can be fitted without labels, and rebuild the head on a compressor that was fitted.

    Every source gives as many documents and queries, if it has them. Parts that were taken, trained, from a checkpoint stay as
    they are.
    Returns: the quality of each fitted part, by name (share of squared length kept; factor of lengths).
    """
    data = _Samples(model, sets, seed)
    fitted: dict[str, float] = {}
    if model.vector_map is not None:
        quality = model.vector_map.fit(_VectorSamples(model, sets, seed), _trained(model, "vector_map"))
        fitted |= {f"{name} of vectors": value for name, value in quality.items()}
    if model.compressor is not None:
        quality = model.compressor.fit(data, _trained(model, "compressor"))
        fitted |= quality
        if quality and "compressor" not in model.carried:
            model.rebuild_head()
    return fitted | model.head.fit(data, model.carried)


def _trained(model: Model, part: str) -> frozenset[str]:
    """Return the names of a part's tensors that were taken from a checkpoint."""
    prefix = f"{part}."
    return frozenset(name.removeprefix(prefix) for name in model.carried if name.startswith(prefix))


class _VectorSamples:
    """What the map of vectors is fitted on: vectors [n, w] of a sample of documents before that map."""

    def __init__(self, model: Model, sets: Sequence[TrainingSource], seed: int) -> None:
        self.model, self.sets, self.seed = model, sets, seed

    @property
    def documents(self) -> FitSample:
        """Vectors of a sample of documents."""
        return self._documents

    @cached_property
    def _documents(self) -> FitSample:
        return FitSample(_document_vectors(self.model, self.sets, np.random.default_rng(self.seed)))


class _Samples:
    """Samples that compressors and heads are fitted on, each computed on first use. Nothing here changes the layers."""

    def __init__(self, model: Model, sets: Sequence[TrainingSource], seed: int) -> None:
        self.model, self.sets, self.seed = model, sets, seed

    @property
    def documents(self) -> FitSample:
        """Token states of a sample of documents."""
        return self._documents

    @cached_property
    def _documents(self) -> FitSample:
        return document_states(self.model, self.sets, np.random.default_rng(self.seed))

    def query_tokens(self) -> FitSample:
        """Return states [n, h] and ids [n] of the text tokens of some training queries."""
        states, ids = [], []
        random = np.random.default_rng(self.seed)
        with torch.no_grad():
            for source in self.sets:
                for text in source.sample(SAMPLE, random)[0]:
                    tokens = self.model.query_tokens(text)
                    query = self.model.query_from_tokens(tokens)
                    states.append(query.rows.states[0][query.text_mask])
                    ids.append(torch.tensor(tokens)[query.text_mask])
        return FitSample(torch.cat(states), torch.cat(ids))

    def lost_length(self) -> float | None:
        """Return the mean norm of compressed states, divided by that after their codecs; None for lossless codecs."""
        pipeline, compressor = pipelines(self.model)["states"], self.model.compressor
        if pipeline.lossless or compressor is None:
            return None
        with torch.no_grad():
            codes = compressor.compress(self.documents.states, self.documents.side).numpy()
        restored = round_trip([{"states": codes}], {"states": pipeline})["states"].values
        return float(np.linalg.norm(codes, axis=1).mean() / np.linalg.norm(restored, axis=1).mean())


def document_states(model: Model, sets: Sequence[TrainingSource], random: np.random.Generator) -> FitSample:
    """Sample token states of documents after layer L and the pool, at most `TOKENS` from every source.

    A source of short texts gives what it has: rare words are met in long texts of other sources.
    """
    samples = [_states(model, source.sample(SAMPLE, random)[1]) for source in sets]
    sizes = [len(sample.states) for sample in samples]
    chosen = [torch.from_numpy(random.choice(size, min(size, TOKENS), replace=False)) for size in sizes]

    def joined(name: str) -> Tensor | None:
        found = [
            value[rows] for sample, rows in zip(samples, chosen, strict=True) if (value := getattr(sample, name)) is not None
        ]
        return torch.cat(found) if found else None

    states = joined("states")
    assert states is not None
    return FitSample(states, joined("token_ids"), joined("side"), model.backbone.word_embeddings.detach(), joined("vectors"))


def _states(model: Model, documents: Sequence[Document]) -> FitSample:
    """Return the states [n, h] and token ids [n] of all tokens of some documents, and what else the compressor reads."""
    rows = sorted(model.document_tokens(documents), key=len)
    states, ids, sides, vectors = [], [], [], []
    through = pipelines(model).get("vector")
    with torch.no_grad():
        for start in range(0, len(rows), _BATCH):
            batch = rows[start : start + _BATCH]
            kept, side, own = model.document_rows(batch)
            real = torch.ones(kept.states.shape[:2], dtype=torch.bool) if kept.mask is None else kept.mask
            states.append(kept.states[real])
            ids.append(model.document_ids(batch)[:, : real.shape[1]][real])
            sides += [] if side is None else [side[real]]
            if own is not None and through is not None:
                stored = round_trip([{"vector": one} for one in own.cpu().numpy()], {"vector": through})["vector"].values
                vectors.append(torch.from_numpy(stored).to(own).repeat_interleave(real.sum(dim=1), dim=0))
    return FitSample(
        torch.cat(states),
        torch.cat(ids),
        torch.cat(sides) if sides else None,
        vectors=torch.cat(vectors) if vectors else None,
    )


def _document_vectors(model: Model, sets: Sequence[TrainingSource], random: np.random.Generator) -> Tensor:
    held, model.vector_map = model.vector_map, None
    try:
        documents = [document for source in sets for document in source.sample(SAMPLE, random)[1]]
        rows = sorted(model.document_tokens(documents), key=len)
        batches = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
        with torch.no_grad():
            return torch.cat([model.encode_batch(batch)["vector"][0] for batch in batches])
    finally:
        model.vector_map = held
