"""Word codes: what a word piece says anywhere from a table, and what it says here in a few bits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lateint.backbone.precision import in_float32
from lateint.compressors._directions import orthonormal, principal
from lateint.compressors._validation import check_width
from lateint.compressors.base import Quantizer, Tables
from lateint.errors import InputError

ID_BYTES = 2
RIDGE = 1.0
SHRINK = 8  # a word seen so often is half-way between what its embedding says and its own mean
SEED = 20_261_127


class Words(Quantizer):
    """z = A x / |A x|, stored as the id t of its word piece and the signs s of P (z - S_t); z' = S_t + Qᵀ s; h -> c -> h.

    `width` c; `bits` B, so many signs; `vocabulary`, the rows of S. A store holds 2 + B/8 bytes a token: the id, the lower byte
    first, then signs, the first in the lowest bit. Most of a contextual state is its word; signs are for the context. Only
    pools that keep tokens as they are can stand before it.
    Fresh: A and W as in `linear`, S of zeros, P = Q random and orthonormal. `fit` is for the maps, `fit_words` for all else.
    Training passes gradients to S and Q by what was chosen, and straight through to the states; P stays.
    Source: lateint, after SDR's side information (arXiv:2110.02065, Sec. 3). Cost: h·c + B·c multiply-adds a token.
    """

    needs_words = True

    def __init__(self, states_width: int, *, width: int = 128, bits: int = 32, vocabulary: int = 30_522) -> None:
        super().__init__(states_width, width=check_width("words", width))
        if isinstance(bits, bool) or not isinstance(bits, int) or bits % 8 or bits < 8:
            raise InputError(f"compressor 'words': bits={bits!r}; expected 8, 16, 24, ...")
        if isinstance(vocabulary, bool) or not isinstance(vocabulary, int) or not 1 <= vocabulary <= 1 << 16:
            raise InputError(f"compressor 'words': vocabulary={vocabulary!r}; expected 1 to 65,536 word pieces")
        self.words = nn.Parameter(torch.zeros(vocabulary, width))
        self.planes = nn.Parameter(orthonormal(bits, width))
        self.steps = nn.Parameter(self.planes.detach() / width**0.5)

    @property
    def code_bytes(self) -> int:
        """Bytes of a token in a store."""
        return ID_BYTES + len(self.planes) // 8

    @torch.no_grad()
    @in_float32
    def codes(self, directions: Tensor, token_ids: Tensor) -> Tensor:
        """Directions [..., c] of these word pieces [...] -> uint8 [..., 2 + B/8]. Float32 whatever the weights' dtype.

        Raises: InputError for an id beyond the vocabulary.
        """
        if token_ids.numel() and int(token_ids.max()) >= len(self.words):
            raise InputError(
                f"compressor 'words' has {len(self.words)} word pieces, and these texts hold id {int(token_ids.max())}; "
                "set its `vocabulary` to the tokenizer's"
            )
        left = directions.float() - self.words.float()[token_ids]
        positive = (left @ self.planes.float().T >= 0).view(*left.shape[:-1], -1, 8)
        signs = (positive << torch.arange(8, device=left.device)).sum(dim=-1)
        return torch.cat([_bytes(token_ids), signs], dim=-1).to(torch.uint8)

    def decode(self, codes: Tensor) -> Tensor:
        """uint8 [..., 2 + B/8] -> S_t + Qᵀ s, [..., c]; differentiable in S and Q."""
        whole = codes.long()
        ids = whole[..., 0] | whole[..., 1] << 8
        decoded: Tensor = self.words[ids] + _signs(whole[..., ID_BYTES:]).to(self.steps) @ self.steps
        return decoded

    @in_float32
    def tables(self, queries: Tensor) -> Tables:
        """What word pieces and bytes add to the inner product with queries [q, c]. Cost: vocabulary·q·c multiply-adds."""
        ours = queries.float()
        turned = (self.steps.detach().float() @ ours.T).view(-1, 8, len(ours))  # [B/8, 8, q]
        every = _signs(torch.arange(256, device=ours.device)[:, None]).float()  # [256, 8]
        return Tables(every @ turned, self.words.detach().float() @ ours.T)

    @torch.no_grad()
    def fit_words(self, states: Tensor, token_ids: Tensor, embeddings: Tensor) -> float:
        """S, P and Q from states [n, h] of these word pieces [n], and the input embeddings [vocabulary, e] of all.

        S: ridge regression of directions on embeddings, so that words never seen have a row, moved towards the mean of those
        seen. P: principal directions of what S leaves over, turned at random so that signs tell alike. Q: least squares.
        Returns: the mean cosine of directions with what comes back.
        """
        z = self.compress(states).double()
        words = _predicted(embeddings[: len(self.words)].double(), token_ids, z)
        count = torch.bincount(token_ids, minlength=len(words))[:, None]
        words += torch.zeros_like(words).index_add_(0, token_ids, z - words[token_ids]) / (count + SHRINK)
        left = z - words[token_ids]
        kept = min(len(self.planes), self.width)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            turn = orthonormal(len(self.planes), kept).double()
        self.words[: len(words)].copy_(words)
        self.planes.copy_(turn @ principal(left, kept).T)
        codes = self.codes(self.compress(states), token_ids)
        signs = _signs(codes[:, ID_BYTES:].long()).double()
        self.steps.copy_(torch.linalg.lstsq(signs, left).solution)
        return float(torch.cosine_similarity(self.decode(codes).double(), z, dim=-1).mean())


def _predicted(embeddings: Tensor, token_ids: Tensor, directions: Tensor) -> Tensor:
    """Ridge regression of directions [n, c] on the embeddings [v, e] of their words, for every word: [v, c]."""
    known = torch.cat([embeddings, torch.ones_like(embeddings[:, :1])], dim=1)
    seen = known[token_ids]
    penalty = RIDGE * torch.eye(seen.shape[1]).to(seen)
    predicted: Tensor = known @ torch.linalg.solve(seen.T @ seen + penalty, seen.T @ directions)
    return predicted


def _bytes(token_ids: Tensor) -> Tensor:
    """Ids [...] -> their two bytes [..., 2], the lower first."""
    return torch.stack([token_ids & 255, token_ids >> 8], dim=-1)


def _signs(packed: Tensor) -> Tensor:
    """Bytes [..., k] int64 -> signs [..., 8·k], 1 or -1, the lowest bit first."""
    bits = packed[..., None] >> torch.arange(8, device=packed.device) & 1
    signs: Tensor = bits.flatten(-2) * 2 - 1
    return signs


PART = Words
