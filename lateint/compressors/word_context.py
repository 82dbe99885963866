"""Codes of a token from its word piece and its document's vector, and a few bytes for what both leave over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lateint.backbone.precision import in_float32
from lateint.compressors._validation import check_width
from lateint.compressors.base import LookupTables
from lateint.compressors.word_residual import WordResidual
from lateint.errors import InputError

_ROUNDS = 3  # alternations between the table of words, the map of vectors and the shares
_PRIOR = 20.0  # a word's share starts as if this many average tokens had a share of 1
_RIDGE = 1.0


class WordContext(WordResidual):
    """z = A x / |A x| ≈ z' = f (S_t + a_t M v + C_1[i_1] + .. + C_k[i_k]), with v the document's stored vector.

    All tokens of a text share its topic, so one vector of a document replaces some bytes of every token: M v is what a text
    adds to all its tokens, and a_t how much of it word piece t takes. Bytes are those of `word_residual`, 3 + k per token;
    they depend on v as the encoder computes it, and decode with v as it is stored.
    `vector_width` is w, the width of the document's `vector`. Fresh: as `word_residual`, shares a of 1 and M of zeros, which
    decodes as `word_residual` does. `fit_words` fits S, M and a in turns, then the codebooks.
    Source: lateint. Cost: that of `word_residual`, and c·w multiply-adds per document.
    """

    name = "word_context"

    def __init__(
        self, states_width: int, *, width: int = 128, levels: int = 2, vocabulary: int = 30_522, vector_width: int = 128
    ) -> None:
        super().__init__(states_width, width=width, levels=levels, vocabulary=vocabulary)
        self.context_map = nn.Parameter(torch.zeros(width, check_width(self.name, vector_width)))
        self.shares = nn.Parameter(torch.ones(vocabulary))

    @property
    def vector_width(self) -> int:
        """The width w of the document's vector."""
        return self.context_map.shape[1]

    def expected(self, token_ids: Tensor, vectors: Tensor | None) -> Tensor:
        """Return S_t + a_t M v, [..., c], for vectors [..., w] that broadcast with ids. Raises: InputError without vectors."""
        if vectors is None:
            raise InputError(f"compressor {self.name!r} needs the vector of each document, and got none")
        context = vectors.float() @ self.context_map.float().T
        return super().expected(token_ids, None).float() + self.shares.float()[token_ids][..., None] * context

    @in_float32
    def lookup_tables(self, queries: Tensor) -> LookupTables:
        """Return the tables of `word_residual`, the shares, and queries [q, c] as rows [q, w] to compare vectors with."""
        tables = super().lookup_tables(queries)
        context = queries.float() @ self.context_map.detach().float()
        return tables._replace(shares=self.shares.detach().float(), context=context)

    def fit_expected(self, directions: Tensor, token_ids: Tensor, embeddings: Tensor, vectors: Tensor | None) -> Tensor:
        """Fit S, M and a to directions [n, c] float64 and return what they leave over, [n, c].

        In turns: the table of words to directions without their context, M by ridge regression of the rest on vectors, each
        share by least squares. Vectors are centred for that, and S takes what their mean contributes.
        """
        if vectors is None:
            raise InputError(f"compressor {self.name!r} is fitted on vectors of documents, and got none")
        mean = vectors.double().mean(dim=0)
        centred = vectors.double() - mean
        shares = torch.ones(len(self.shares), dtype=torch.float64)
        context = torch.zeros_like(directions)
        for _ in range(_ROUNDS):
            ours = shares[token_ids][:, None]
            rest = super().fit_expected(directions - ours * context, token_ids, embeddings, None) + ours * context
            mapped = _ridge(ours * centred, rest)
            context = centred @ mapped
            shares = _shares(rest, context, token_ids, len(shares))
        left = super().fit_expected(directions - shares[token_ids][:, None] * context, token_ids, embeddings, None)
        self.context_map.copy_(mapped.T)
        self.shares.copy_(shares)
        self.words.sub_((shares[:, None] * (mean @ mapped)).to(self.words))
        return left


def _ridge(inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return the matrix [w, c] that maps inputs [n, w] to outputs [n, c] with the least penalised squared error."""
    penalty = _RIDGE * torch.eye(inputs.shape[1]).to(inputs)
    solved: Tensor = torch.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ outputs)
    return solved


def _shares(rest: Tensor, context: Tensor, token_ids: Tensor, vocabulary: int) -> Tensor:
    """Return for each word piece the factor of `context` [n, c] that is nearest to `rest` [n, c]; rare ones stay near 1."""
    zeros = torch.zeros(vocabulary, dtype=rest.dtype)
    found = zeros.index_add(0, token_ids, (rest * context).sum(dim=1))
    whole = zeros.index_add(0, token_ids, context.square().sum(dim=1))
    prior = _PRIOR * whole.sum() / len(token_ids)
    shares: Tensor = (found + prior) / (whole + prior).clamp_min(1e-12)
    return shares


PART = WordContext
