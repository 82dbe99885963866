"""Arrays of documents and queries for training: computed at every step, or once if a stage does not train them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from lateint.heads.inputs import Candidates, Query
from lateint.indexing.codecs import pipelines, round_trip
from lateint.methods.method import Stage
from lateint.model.batching import UNSTORED_TOKENS, batches, by_length
from lateint.model.document import Document
from lateint.model.model import Model, beside_tokens
from lateint_store import Pipeline, Ragged
from lateint_store.spec import Array

_MIN_SPLIT = 6  # lists of at least this many documents are encoded in two batches


class Live:
    """Runs documents and queries through the layers at every step, for stages that train them.

    `quantised`: arrays pass through their codecs, with straight-through gradients.
    """

    def __init__(self, model: Model, *, quantised: bool = False) -> None:
        self.model, self.quantizer = model, model.quantizer if quantised else None
        lossy = {name: pipeline for name, pipeline in pipelines(model).items() if not pipeline.lossless} if quantised else {}
        self.through: dict[str, Pipeline] = lossy

    def prepare(self, texts: Sequence[str], documents: Sequence[Document]) -> None:
        """Do nothing: the layers change at every step."""

    def query(self, text: str) -> Query:
        """Run the query's own layers; differentiable."""
        return self.model.query_from_tokens(self.model.query_tokens(text))

    def candidates(self, documents: Sequence[Document]) -> Candidates:
        """Encode documents in one padded batch; differentiable."""
        return self.arrays(self.model.document_tokens(documents))

    def batches(self, documents: Sequence[Document]) -> Iterator[tuple[list[int], Candidates]]:
        """Encode the shorter and the longer half of documents as two batches, with their indices, to save padding."""
        rows = self.model.document_tokens(documents)
        order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
        half = len(order) // 2 if len(order) >= _MIN_SPLIT else 0
        for places in (order[:half], order[half:]):
            if places:
                yield places, self.arrays([rows[place] for place in places])

    def arrays(self, rows: Sequence[Sequence[int]]) -> Candidates:
        """Encode token rows in one padded batch; differentiable."""
        arrays = self.model.encode_batch(rows)
        for name, pipeline in self.through.items():
            values, real = arrays[name]
            arrays[name] = straight_through(values, real, pipeline), real
        if self.quantizer is not None:
            (directions, real), ids = arrays["states"], self.model.document_ids(rows)
            vectors = None if self.quantizer.vector_width is None else beside_tokens(arrays["vector"][0])
            arrays["states"] = self.quantizer.straight_through(directions, ids, vectors), real
            arrays.setdefault("token_ids", (ids, real))
        mask = next((m for name, (_, m) in arrays.items() if name != "vector"), None)
        return Candidates(mask=mask, **{name: values for name, (values, _) in arrays.items()})


class Frozen:
    """Keeps arrays in memory as a store would return them, for stages that train the head alone.

    Memory: 2·m·c bytes per document seen, and 4·q·h bytes per query.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.through: dict[str, Pipeline] = pipelines(model)
        self._documents: dict[Document, dict[str, Array]] = {}
        self._queries: dict[str, Query] = {}

    def query(self, text: str) -> Query:
        """Run the query's own layers, the first time it is asked for."""
        self._prepare_queries([text])
        return self._queries[text]

    def batches(self, documents: Sequence[Document]) -> Iterator[tuple[list[int], Candidates]]:
        """Yield all documents in one batch: their arrays are computed already, so padding costs little."""
        yield list(range(len(documents))), self.candidates(documents)

    def candidates(self, documents: Sequence[Document]) -> Candidates:
        """Return the arrays of documents in one padded batch, in their order."""
        self._prepare_documents(documents)
        arrays = {}
        for name, pipeline in self.through.items():
            found = [self._documents[document][name] for document in documents]
            rows = [1 if pipeline.spec.rows == "one" else len(array) for array in found]
            stacked = np.stack(found) if pipeline.spec.rows == "one" else np.concatenate(found)
            arrays[name] = Ragged(stacked, np.concatenate([[0], np.cumsum(rows)]), pipeline.spec_out)
        (batch,) = batches(arrays, self.model.device, budget=1 << 30)
        back = torch.from_numpy(np.argsort(batch.indices))
        picked = {n: None if v is None else v[back] for n in Candidates.__slots__ for v in [getattr(batch.docs, n)]}
        return Candidates(**picked)

    def prepare(self, texts: Sequence[str], documents: Sequence[Document]) -> None:
        """Compute missing arrays, in batches."""
        self._prepare_queries(texts)
        self._prepare_documents(documents)

    def _prepare_queries(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._queries]
        if new:
            with torch.no_grad():
                self._queries |= dict(zip(new, self.model.queries(new), strict=True))

    def _prepare_documents(self, documents: Sequence[Document]) -> None:
        new = [document for document in dict.fromkeys(documents) if document not in self._documents]
        if not new:
            return
        rows = self.model.document_tokens(new)
        for places in by_length([len(row) for row in rows], UNSTORED_TOKENS):
            decoded = round_trip(self.model.encode([rows[i] for i in places]), self.through)
            for at, place in enumerate(places):
                self._documents[new[place]] = {name: _narrow(ragged[at]) for name, ragged in decoded.items()}


class FrozenDocuments(Frozen):
    """Keeps arrays of documents as `Frozen` does, and runs queries through their layers at every step.

    For stages that train the query tower: what a store holds does not change, so stores that were built before stay valid.
    """

    def query(self, text: str) -> Query:
        """Run the query's own layers; differentiable."""
        return self.model.query_from_tokens(self.model.query_tokens(text))

    def _prepare_queries(self, texts: Sequence[str]) -> None:
        """Do nothing: the query tower changes at every step."""


def features_of(model: Model, stage: Stage) -> Frozen | Live:
    """Return features for what a stage trains: arrays that it cannot change are computed once."""
    stored = model.head.stored_width is not None  # a head that stores its own keys and values trains them
    if stored or not {"layers", "embeddings", "compressor", "vector_map"}.isdisjoint(stage.train):
        return Live(model, quantised=stage.quantised)
    return FrozenDocuments(model) if stage.trains_query_tower else Frozen(model)


def straight_through(values: Tensor, mask: Tensor | None, through: Pipeline) -> Tensor:
    """Pass an array [n, m, c], or vectors [n, c], through its codecs, with the gradient of the array itself.

    If a codec keeps directions only, the gradient is that of the array scaled to the decoded length.
    """
    host = values.detach().float().cpu().numpy()
    kept = np.ones(host.shape[:2], bool) if mask is None else mask.cpu().numpy()
    documents = [row if through.spec.rows == "one" else row[real] for row, real in zip(host, kept, strict=True)]
    decoded = round_trip([{"": document} for document in documents], {"": through})[""].values
    found = torch.from_numpy(host.copy())
    if through.spec.rows == "one":
        found[:] = torch.from_numpy(decoded)
    else:
        found[torch.from_numpy(kept)] = torch.from_numpy(decoded)
    found = found.to(values)
    lengths = found.norm(dim=-1, keepdim=True) / values.detach().norm(dim=-1, keepdim=True).clamp_min(1e-6)
    passed = values * lengths
    through_codecs: Tensor = passed + (found - passed).detach()
    return through_codecs


def _narrow(array: Array) -> Array:
    """Copy to half precision, which holds decoded int8 exactly enough, so that a corpus fits in memory."""
    return array.astype(np.float16) if array.dtype == np.float32 else np.array(array)
