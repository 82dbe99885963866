"""Word codes: the token id gives a vector from a table, and a few sign bits say how the context changes it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lateint.backbone.precision import in_float32
from lateint.backbone.seeding import seeded
from lateint.compressors._directions import orthonormal, principal
from lateint.compressors._unit_directions import UnitDirections
from lateint.compressors._validation import check_width
from lateint.compressors.base import FitData, LookupTables
from lateint.errors import InputError, ModelError

_ID_BYTES = 2
_RIDGE = 1.0
SHRINK = 8  # a token seen this often gets the average of its embedding's prediction and its own mean
_SEED = 20_261_127


class Words(UnitDirections):
    """z = A x / |A x|, stored as the token id t and the signs s of P (z - S_t); z' = S_t + Qᵀ s; h -> c -> h.

    `width` is c, `bits` the number B of signs, `vocabulary` the rows of S. A store holds 2 + B/8 bytes per token: the id, low
    byte first, then the signs, the first in the lowest bit. The token explains most of a contextual state; the signs
    say what the context adds. The pool before it must keep tokens as they are.
    Fresh: A and W as in `linear`, S of zeros, P = Q random and orthonormal. `fit_directions` fits the maps, `fit_words` the
    rest. In training, gradients reach S and Q, and pass straight through to the states; P stays.
    Source: lateint, after SDR's side information (arXiv:2110.02065, Sec. 3). Cost: h·c + B·c multiply-adds per token.
    """

    needs_tokens = True

    def __init__(self, states_width: int, *, width: int = 128, bits: int = 32, vocabulary: int = 30_522) -> None:
        super().__init__(states_width, width=check_width("words", width))
        if isinstance(bits, bool) or not isinstance(bits, int) or bits % 8 or bits < 8:
            raise InputError(f"compressor 'words': bits={bits!r}; expected 8, 16, 24, ...")
        if isinstance(vocabulary, bool) or not isinstance(vocabulary, int) or not 1 <= vocabulary <= 1 << 16:
            raise InputError(f"compressor 'words': vocabulary={vocabulary!r}; expected 1 to 65,536 tokens")
        self.words = nn.Parameter(torch.zeros(vocabulary, width))
        self.planes = nn.Parameter(orthonormal(bits, width))
        self.steps = nn.Parameter(self.planes.detach() / width**0.5)

    @property
    def code_bytes(self) -> int:
        """Bytes stored per token."""
        return _ID_BYTES + len(self.planes) // 8

    @torch.no_grad()
    @in_float32
    def quantize(self, directions: Tensor, token_ids: Tensor) -> Tensor:
        """Map directions [..., c] of tokens with ids [...] to uint8 [..., 2 + B/8], in float32 for weights of any dtype.

        Raises: InputError for an id beyond the vocabulary.
        """
        if token_ids.numel() and int(token_ids.max()) >= len(self.words):
            raise InputError(
                f"compressor 'words' has a vocabulary of {len(self.words)} tokens, and these texts hold id "
                f"{int(token_ids.max())}; set its `vocabulary` to the tokenizer's"
            )
        residual = directions.float() - self.words.float()[token_ids]
        positive = (residual @ self.planes.float().T >= 0).view(*residual.shape[:-1], -1, 8)
        signs = (positive << torch.arange(8, device=residual.device)).sum(dim=-1)
        return torch.cat([_bytes(token_ids), signs], dim=-1).to(torch.uint8)

    def decode(self, codes: Tensor) -> Tensor:
        """Map uint8 [..., 2 + B/8] to S_t + Qᵀ s, [..., c]; differentiable in S and Q.

        Raises: ModelError for an id beyond the vocabulary.
        """
        ids = self.token_ids(codes)
        if ids.numel() and int(ids.max()) >= len(self.words):
            raise ModelError(f"a stored token is word piece {int(ids.max())}, and compressor 'words' has {len(self.words)}")
        decoded: Tensor = self.words[ids] + _signs(codes[..., _ID_BYTES:].long()).to(self.steps) @ self.steps
        return decoded

    def token_ids(self, codes: Tensor) -> Tensor:
        """Return the ids in the first two bytes."""
        low, high = codes[..., 0].long(), codes[..., 1].long()
        return low | high << 8

    @in_float32
    def lookup_tables(self, queries: Tensor) -> LookupTables:
        """Return the contributions of token ids and bytes to inner products with queries [q, c].

        Cost: vocabulary·q·c multiply-adds.
        """
        ours = queries.float()
        turned = (self.steps.detach().float() @ ours.T).view(-1, 8, len(ours))  # [B/8, 8, q]
        every = _signs(torch.arange(256, device=ours.device)[:, None]).float()  # [256, 8]
        return LookupTables(every @ turned, self.words.detach().float() @ ours.T)

    def fit(self, data: FitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit the maps, the table and the sign planes, as far as they were not trained."""
        fitted = super().fit(data, trained)
        if "words" in trained:
            return fitted
        sample = data.documents
        if sample.token_ids is None or sample.embeddings is None:
            return fitted
        return fitted | {"cosine of codes": self.fit_words(sample.states, sample.token_ids, sample.embeddings)}

    @torch.no_grad()
    def fit_words(self, states: Tensor, token_ids: Tensor, embeddings: Tensor) -> float:
        """Fit S, P and Q to states [n, h] of tokens with ids [n], and the input embeddings [vocabulary, e] of all tokens.

        S: ridge regression of directions on embeddings, so that unseen tokens have a row, moved towards the mean of the
        states seen. P: principal directions of the residual, rotated at random so that all signs carry equal information.
        Q: least squares. Returns: the mean cosine of directions with what they decode to.
        """
        z = self.compress(states).double()
        words = _predicted(embeddings[: len(self.words)].double(), token_ids, z)
        count = torch.bincount(token_ids, minlength=len(words))[:, None]
        words += torch.zeros_like(words).index_add_(0, token_ids, z - words[token_ids]) / (count + SHRINK)
        residual = z - words[token_ids]
        kept = min(len(self.planes), self.width)
        with seeded(_SEED):
            rotation = orthonormal(len(self.planes), kept).double()
        self.words[: len(words)].copy_(words)
        self.planes.copy_(rotation @ principal(residual, kept).T)
        codes = self.quantize(self.compress(states), token_ids)
        signs = _signs(codes[:, _ID_BYTES:].long()).double()
        self.steps.copy_(torch.linalg.lstsq(signs, residual).solution)
        return float(torch.cosine_similarity(self.decode(codes).double(), z, dim=-1).mean())


def _predicted(embeddings: Tensor, token_ids: Tensor, directions: Tensor) -> Tensor:
    """Predict a direction for every token, [v, c], by ridge regression of directions [n, c] on embeddings [v, e]."""
    known = torch.cat([embeddings, torch.ones_like(embeddings[:, :1])], dim=1)
    seen = known[token_ids]
    penalty = _RIDGE * torch.eye(seen.shape[1]).to(seen)
    predicted: Tensor = known @ torch.linalg.solve(seen.T @ seen + penalty, seen.T @ directions)
    return predicted


def _bytes(token_ids: Tensor) -> Tensor:
    """Split ids [...] into two bytes [..., 2], low byte first."""
    return torch.stack([token_ids & 255, token_ids >> 8], dim=-1)


def _signs(packed: Tensor) -> Tensor:
    """Unpack bytes [..., k] int64 into signs [..., 8·k], 1 or -1, the lowest bit first."""
    bits = packed[..., None] >> torch.arange(8, device=packed.device) & 1
    signs: Tensor = bits.flatten(-2) * 2 - 1
    return signs


PART = Words
