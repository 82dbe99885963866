"""What heads read: a query, decoded candidates, and rows in their stored codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from lateint.backbone.layer import TokenStates
from lateint.kernels.lookup import CODE_BITS, columns, max_cosines, max_sums
from lateint_store import Pipeline, Ragged
from lateint_store.codecs.rotated import Rotated


@dataclass(frozen=True, slots=True)
class Query:
    """A query after its own lower layers, computed once.

    rows [1, q, h]; words [q] bool, False for special tokens; vector [h] if the method has vectors.
    """

    rows: TokenStates
    text_mask: Tensor
    vector: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Decoded entries of n documents, padded on the right to the longest: what a head reads.

    states [n, m, c] and vector [n, h] in the dtype of the model's weights, states uint8 [n, m, bytes] where a compressor makes
    bytes; token_ids [n, m] int64; mask [n, m] bool, None if nothing is padded.
    """

    mask: Tensor | None = None
    states: Tensor | None = None
    vector: Tensor | None = None
    token_ids: Tensor | None = None


class QuantizedRows(Protocol):
    """Rows of n documents as they are stored, and what their bytes mean."""

    def best(self, queries: Tensor) -> Tensor:
        """The largest similarity of each query row [q, c] with a document's rows: float32 [n, q]."""
        ...


@dataclass(frozen=True, slots=True)
class Rotations:
    """Bytes that a codec made of directions: similar as cosines are."""

    rows: Ragged
    codec: Rotated

    def best(self, queries: Tensor) -> Tensor:
        """The largest cosines."""
        return torch.from_numpy(max_cosines(self.rows, self.codec, queries.float().numpy()))


@dataclass(frozen=True, slots=True)
class Sums:
    """Bytes that a model's compressor made, each the name of a part of a sum: similar as inner products with the sums are."""

    rows: Ragged
    quantizer: Any

    def best(self, queries: Tensor) -> Tensor:
        """The largest inner products, query rows at length 1."""
        q = len(queries)
        padded = F.pad(F.normalize(queries.float(), dim=-1), (0, 0, 0, columns(q) - q))  # so that no table is copied for it
        shares, words = self.quantizer.tables(padded)
        return torch.from_numpy(max_sums(self.rows, q, shares.numpy(), None if words is None else words.numpy()))


def reads_bytes(pipeline: Pipeline) -> bool:
    """Whether a kernel can read rows of this pipeline: one codec `rotated`, of bits that fill bytes, laid out raw."""
    first, *others = pipeline.coding
    return first.name == "rotated" and dict(first.settings)["bits"] in CODE_BITS and [other.name for other in others] == ["raw"]


def reads_raw(pipeline: Pipeline) -> bool:
    """Whether rows are bytes that no codec of this pipeline changed."""
    return pipeline.spec.dtype == "uint8" and [codec.name for codec in pipeline.coding] == ["raw"]


def reads_cosines(vectors: Pipeline, normalised: bool) -> bool:
    """The same of vectors of which a head wants inner products: those must be `normalised` by it, or decoded to length 1."""
    return reads_bytes(vectors) and (normalised or dict(vectors.coding[0].settings)["scale"] == "none")
