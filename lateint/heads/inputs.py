"""What heads read: a query, decoded candidates, and candidates in their stored bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from lateint.backbone.layer import TokenStates
from lateint.compressors.base import Quantizer
from lateint.errors import ModelError
from lateint.kernels.lookup import CODE_BITS, columns, max_cosines, max_sums
from lateint.kernels.words import words_held
from lateint_store import Pipeline, Ragged
from lateint_store.codecs.rotated import Rotated


@dataclass(frozen=True, slots=True)
class Query:
    """A query after its own lower layers, computed once.

    rows [1, q, h]; text_mask [q] bool, False for special tokens; vector [h] if the method has vectors; `cut`: True if the end
    of the text was cut off at the query's max_length; token_ids [q] int64, None if whoever made the query has none.
    """

    rows: TokenStates
    text_mask: Tensor
    vector: Tensor | None = None
    cut: bool = False
    token_ids: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Decoded entries of n documents, padded on the right to the longest.

    states [n, m, c] and vector [n, h] in the dtype of the model's weights, but uint8 [n, m, bytes] for states that a
    quantiser stores; token_ids [n, m] int64, stored or read from such bytes; mask [n, m] bool, None if nothing is padded.
    """

    mask: Tensor | None = None
    states: Tensor | None = None
    vector: Tensor | None = None
    token_ids: Tensor | None = None


class QuantizedRows(Protocol):
    """Rows of n documents in their stored bytes."""

    def max_similarity(self, queries: Tensor) -> Tensor:
        """Return the largest similarity of each query row [q, c] with a document's rows: float32 [n, q]."""
        ...

    def words_held(self, token_ids: Tensor) -> Tensor:
        """Return whether a document holds each token id of [q]: bool [n, q]. Raises: ModelError for rows without ids."""
        ...


@dataclass(frozen=True, slots=True)
class RotatedRows:
    """Rows that codec `rotated` encoded; their similarity is the cosine."""

    rows: Ragged
    codec: Rotated

    def max_similarity(self, queries: Tensor) -> Tensor:
        """Return the largest cosines."""
        return torch.from_numpy(max_cosines(self.rows, self.codec, queries.float().numpy()))

    def words_held(self, token_ids: Tensor) -> Tensor:
        """Refuse: these codes hold no ids. Raises: ModelError."""
        raise ModelError("codes of codec 'rotated' hold no token ids; same words are found in codes of a word compressor")


@dataclass(frozen=True, slots=True)
class SummedRows:
    """Rows that the model's quantiser encoded; their similarity is the inner product with what they decode to."""

    rows: Ragged
    quantizer: Quantizer
    vectors: QuantizedRows | None = None  # of the same documents, or of the one whose rows these are

    def max_similarity(self, queries: Tensor) -> Tensor:
        """Return the largest inner products, for query rows scaled to length 1."""
        q = len(queries)
        # Pad the queries here, so that no lookup table has to be copied to be padded.
        padded = F.pad(F.normalize(queries.float(), dim=-1), (0, 0, 0, columns(q) - q))
        tables = self.quantizer.lookup_tables(padded)
        by_byte, by_token, factors, shares = (None if table is None else table.numpy() for table in tables[:4])
        assert by_byte is not None
        context = None if shares is None or tables.context is None else (shares, self._context(tables.context))
        return torch.from_numpy(max_sums(self.rows, q, by_byte, by_token, factors, context))

    def words_held(self, token_ids: Tensor) -> Tensor:
        """Return which documents hold which words."""
        return torch.from_numpy(words_held(self.rows, token_ids.numpy()))

    def _context(self, queries: Tensor) -> NDArray[np.float32]:
        """Return the inner products of query rows [q, w] with the vector of each document: float32 [n, q]."""
        assert self.vectors is not None  # heads that read codes relative to a vector give it
        products = self.vectors.max_similarity(queries) * queries.norm(dim=-1)  # of vectors of length 1
        found: NDArray[np.float32] = products.expand(len(self.rows), -1).contiguous().numpy()
        return found


def is_byte_aligned(pipeline: Pipeline) -> bool:
    """True if a kernel can read rows of this pipeline: codec `rotated` with codes that fill whole bytes, laid out raw."""
    first, *others = pipeline.coding
    return first.name == "rotated" and dict(first.settings)["bits"] in CODE_BITS and [other.name for other in others] == ["raw"]


def is_raw_bytes(pipeline: Pipeline) -> bool:
    """True if rows are bytes that no codec of this pipeline changes."""
    return pipeline.spec.dtype == "uint8" and [codec.name for codec in pipeline.coding] == ["raw"]


def holds_cosines(vectors: Pipeline, normalised: bool) -> bool:
    """True if inner products with stored vectors can be read from bytes as cosines.

    Vectors must be normalised by the head, or decode to length 1.
    """
    return is_byte_aligned(vectors) and (normalised or dict(vectors.coding[0].settings)["scale"] == "none")
