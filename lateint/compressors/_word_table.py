"""A table of words: the token's id gives a vector, and the bytes behind it say what the context adds."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from lateint.backbone.precision import in_float32
from lateint.compressors._unit_directions import UnitDirections
from lateint.compressors._validation import check_width
from lateint.compressors.base import FitData
from lateint.errors import InputError, ModelError

ID_BYTES = 2
SHRINK = 8  # a token seen this often gets the average of its embedding's prediction and its own mean
_RIDGE = 1.0


class WordTable(UnitDirections, ABC):
    """z = A x / |A x|, stored as the token id t, low byte first, and bytes for z - S_t; S [vocabulary, c] is the table.

    The token explains most of a contextual state; the bytes say what the context adds. The pool before it must keep tokens
    as they are. Fresh: A and W as in `linear`, S of zeros.
    """

    needs_tokens = True
    name: str
    """The name of the part, for messages."""

    def __init__(self, states_width: int, *, width: int, vocabulary: int) -> None:
        super().__init__(states_width, width=check_width(self.name, width))
        if isinstance(vocabulary, bool) or not isinstance(vocabulary, int) or not 1 <= vocabulary <= 1 << 16:
            raise InputError(f"compressor {self.name!r}: vocabulary={vocabulary!r}; expected 1 to 65,536 tokens")
        self.words = nn.Parameter(torch.zeros(vocabulary, width))

    @abstractmethod
    def code(self, residual: Tensor, expected: Tensor) -> Tensor:
        """Map z - S_t, float32 [..., c], to bytes, any integer type [..., code_bytes - 2]; `expected` is S_t."""

    @abstractmethod
    def fit_context(self, directions: Tensor, token_ids: Tensor, residual: Tensor) -> None:
        """Fit what codes z - S_t: directions z [n, c], ids [n], residual z - S_t [n, c] float64. S is fitted already."""

    @torch.no_grad()
    @in_float32
    def quantize(self, directions: Tensor, token_ids: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Map directions [..., c] of tokens with ids [...] to uint8 [..., code_bytes], in float32 for weights of any dtype.

        Raises: InputError for an id beyond the vocabulary.
        """
        if token_ids.numel() and int(token_ids.max()) >= len(self.words):
            raise InputError(
                f"compressor {self.name!r} has a vocabulary of {len(self.words)} tokens, and these texts hold id "
                f"{int(token_ids.max())}; set its `vocabulary` to the tokenizer's"
            )
        expected = self.expected(token_ids, vectors).float()
        residual = directions.float() - expected
        ids = torch.stack([token_ids & 255, token_ids >> 8], dim=-1)
        return torch.cat([ids, self.code(residual, expected).to(ids)], dim=-1).to(torch.uint8)

    def expected(self, token_ids: Tensor, vectors: Tensor | None) -> Tensor:
        """Return what is known of z before any byte is read, [..., c]: S_t."""
        return self.words[token_ids]

    def expected_of(self, codes: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Return `expected` for bytes uint8 [..., code_bytes]. Raises: ModelError for an id beyond the vocabulary."""
        ids = self.token_ids(codes)
        if ids.numel() and int(ids.max()) >= len(self.words):
            raise ModelError(
                f"a stored token is word piece {int(ids.max())}, and compressor {self.name!r} has {len(self.words)}"
            )
        return self.expected(ids, vectors)

    def token_ids(self, codes: Tensor) -> Tensor:
        """Return the ids in the first two bytes."""
        low, high = codes[..., 0].long(), codes[..., 1].long()
        return low | high << 8

    def fit(self, data: FitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit the maps, the table and what codes the rest, as far as they were not trained."""
        fitted = super().fit(data, trained)
        if "words" in trained:
            return fitted
        sample = data.documents
        if sample.token_ids is None or sample.embeddings is None:
            return fitted
        cosine = self.fit_words(sample.states, sample.token_ids, sample.embeddings, sample.vectors)
        return fitted | {"cosine of codes": cosine}

    @torch.no_grad()
    def fit_words(self, states: Tensor, token_ids: Tensor, embeddings: Tensor, vectors: Tensor | None = None) -> float:
        """Fit S, and what codes the rest, to states [n, h] of tokens with ids [n]; input embeddings [vocabulary, e] of all.

        `vectors` [n, w]: those of the tokens' documents. Returns: the mean cosine of directions with what they decode to.
        """
        directions = self.compress(states)
        residual = self.fit_expected(directions.double(), token_ids, embeddings, vectors)
        self.fit_context(directions, token_ids, residual)
        decoded = self.decode(self.quantize(directions, token_ids, vectors), vectors)
        return float(torch.cosine_similarity(decoded.double(), directions.double(), dim=-1).mean())

    def fit_expected(self, directions: Tensor, token_ids: Tensor, embeddings: Tensor, vectors: Tensor | None) -> Tensor:
        """Fit S to directions [n, c] float64 and return what it leaves over of each, [n, c].

        Ridge regression of directions on embeddings, so that unseen tokens have a row, moved towards the mean of the
        directions seen.
        """
        words = _predicted(embeddings[: len(self.words)].double(), token_ids, directions)
        count = torch.bincount(token_ids, minlength=len(words))[:, None]
        words += torch.zeros_like(words).index_add_(0, token_ids, directions - words[token_ids]) / (count + SHRINK)
        self.words[: len(words)].copy_(words)
        return directions - words[token_ids]


def _predicted(embeddings: Tensor, token_ids: Tensor, directions: Tensor) -> Tensor:
    """Predict a direction for every token, [v, c], by ridge regression of directions [n, c] on embeddings [v, e]."""
    known = torch.cat([embeddings, torch.ones_like(embeddings[:, :1])], dim=1)
    seen = known[token_ids]
    penalty = _RIDGE * torch.eye(seen.shape[1]).to(seen)
    predicted: Tensor = known @ torch.linalg.solve(seen.T @ seen + penalty, seen.T @ directions)
    return predicted
