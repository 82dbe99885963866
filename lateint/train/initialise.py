"""Starting points that come from data, before any step: the compressor's directions and the evidence's word weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from lateint.indexing.codecs import pipelines, round_trip
from lateint.loading.transfer import evidence_of
from lateint.model.document import Document
from lateint.model.model import Model
from lateint.train.data import TrainingSource

SAMPLE = 500  # documents and queries of each source
FIRST_WORD = 996  # BERT's vocabularies begin with unused and single-character entries; words follow by falling frequency


def prepare(model: Model, sets: Sequence[TrainingSource], seed: int = 0) -> dict[str, float]:
    """Fit what can be fitted without labels, and make the head anew from it.

    A `linear` compressor gets the principal directions of document states, each source counted alike, `aesi_linear` those of
    what the tokens themselves do not say, and a `linear` map of vectors those of document vectors; an evidence term gets word
    weights from word frequency. What carried over from a checkpoint stays as it was trained. Fresh blocks over codes that
    come back shorter, or longer, make up for it.
    Returns: what was fitted, with its quality (share of squared length kept; the factor of lengths).
    """
    found: dict[str, float] = {}
    sample = cache(lambda: document_states(model, sets, np.random.default_rng(seed)))  # nothing here changes the layers
    if hasattr(model.vector_map, "fit") and "vector_map" not in model.carried:
        found["kept of vectors"] = model.vector_map.fit(_document_vectors(model, sets, np.random.default_rng(seed)))
    if hasattr(model.compressor, "fit") and "compressor" not in model.carried:
        states, side = sample().states, sample().side
        found["kept"] = model.compressor.fit(states) if side is None else model.compressor.fit(states, side)
        model.rebuild_head()
    if hasattr(model.compressor, "fit_codebooks") and "compressor.codebooks" not in model.carried:
        found["cosine of codes"] = model.compressor.fit_codebooks(sample().states)
    if hasattr(model.compressor, "fit_words") and "compressor.words" not in model.carried:
        words = model.backbone.word_embeddings.detach()
        found["cosine of codes"] = model.compressor.fit_words(sample().states, sample().token_ids, words)
    evidence = evidence_of(model)
    if evidence is not None and "evidence" not in model.carried:
        states, ids = _query_states(model, sets, np.random.default_rng(seed))
        evidence.fit_weights(states, ids, FIRST_WORD)
    if getattr(model.head, "on_codes", False) and not pipelines(model)["states"].lossless:
        found["lengths"] = _lost_length(model, sample())
        model.head.lengthen(found["lengths"])
    return found


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows of some documents: states [n, h] after layer L and the pool, the ids [n] of their tokens, and side information
    [n, h] where the compressor takes any. `token_ids` means something only where the pool keeps tokens as they are.
    """

    states: Tensor
    token_ids: Tensor
    side: Tensor | None


def _lost_length(model: Model, sample: Sample) -> float:
    """The mean length of stored states over that of what their codecs give back; a codec may keep directions alone."""
    with torch.no_grad():
        codes = model.compressor.compress(sample.states, sample.side).numpy()
    back = round_trip([{"states": codes}], {"states": pipelines(model)["states"]})["states"].values
    return float(np.linalg.norm(codes, axis=1).mean() / np.linalg.norm(back, axis=1).mean())


def document_states(model: Model, sets: Sequence[TrainingSource], random: np.random.Generator) -> Sample:
    """What compressors are fitted on: rows of a sample of documents, as many of every source."""
    samples = [_states(model, source.sample(SAMPLE, random)[1]) for source in sets]
    smallest = min(len(one.states) for one in samples)
    chosen = [torch.from_numpy(random.choice(len(one.states), smallest, replace=False)) for one in samples]
    pairs = list(zip(samples, chosen, strict=True))
    sides = [one.side[some] for one, some in pairs if one.side is not None]
    return Sample(
        torch.cat([one.states[some] for one, some in pairs]),
        torch.cat([one.token_ids[some] for one, some in pairs]),
        torch.cat(sides) if sides else None,
    )


def _states(model: Model, documents: Sequence[Document]) -> Sample:
    rows = sorted(model.document_tokens(documents), key=len)
    parts, ids, sides = [], [], []
    with torch.no_grad():
        for start in range(0, len(rows), 16):
            kept, side = model.document_rows(rows[start : start + 16])
            real = torch.ones(kept.states.shape[:2], dtype=torch.bool) if kept.mask is None else kept.mask
            parts.append(kept.states[real])
            ids.append(model.document_ids(rows[start : start + 16])[:, : real.shape[1]][real])
            sides += [] if side is None else [side[real]]
    return Sample(torch.cat(parts), torch.cat(ids), torch.cat(sides) if sides else None)


def _document_vectors(model: Model, sets: Sequence[TrainingSource], random: np.random.Generator) -> Tensor:
    """Vectors of a sample of documents before the map of vectors: [n, w]."""
    held, model.vector_map = model.vector_map, None
    try:
        documents = [document for source in sets for document in source.sample(SAMPLE, random)[1]]
        rows = sorted(model.document_tokens(documents), key=len)
        with torch.no_grad():
            return torch.cat([model.encode_batch(rows[at : at + 16])["vector"][0] for at in range(0, len(rows), 16)])
    finally:
        model.vector_map = held


def _query_states(model: Model, sets: Sequence[TrainingSource], random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """States [n, h] and ids [n] of the words of some training queries."""
    states, ids = [], []
    with torch.no_grad():
        for source in sets:
            for text in source.sample(SAMPLE, random)[0]:
                tokens = model.query_tokens(text)
                query = model.query_from_tokens(tokens)
                states.append(query.rows.states[0][query.text_mask])
                ids.append(torch.tensor(tokens)[query.text_mask])
    kept = torch.cat(ids) >= FIRST_WORD
    return torch.cat(states)[kept], torch.cat(ids)[kept]
