"""The contract of compressors: learned maps from token states of width h to stored codes of width c."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class FitSample:
    """Token states of some texts, on which a part is fitted before training.

    states [n, h] float32; token_ids [n] int64, meaningful only where the pool keeps tokens as they are; side [n, h], side
    information, None where the compressor takes none; embeddings [vocabulary, e], the encoder's input embeddings; vectors
    [n, w], the vector of each token's document after its codecs, None where the compressor reads none.
    """

    states: Tensor
    token_ids: Tensor | None = None
    side: Tensor | None = None
    embeddings: Tensor | None = None
    vectors: Tensor | None = None


class FitData(Protocol):
    """Provides the samples that parts are fitted on; a sample is computed when a part first asks for it."""

    @property
    def documents(self) -> FitSample:
        """Token states of documents, as the compressor receives them."""
        ...


class Compressor(nn.Module, ABC):
    """Maps token states [..., h] to codes [..., c], row by row.

    A subclass sets `width` and implements `compress`. It is built as `PART(states_width, **settings)`, its settings are
    keyword-only, and its fresh parameters are drawn from torch's generator.
    """

    width: int
    """Numbers of a code, c."""
    needs_side = False
    """True if `compress` needs side information: the static embeddings of the same tokens."""
    needs_tokens = False
    """True if codes depend on token ids, so that the pool before it must keep tokens as they are."""
    expands = False
    """True if `expand` maps codes back to states."""
    both_sides = False
    """True if the query's states pass through the compressor and back as well."""

    @abstractmethod
    def compress(self, states: Tensor, side: Tensor | None = None) -> Tensor:
        """Map states [..., h] to codes [..., c]. Raises: InputError if side information is needed and missing."""

    def expand(self, codes: Tensor, side: Tensor | None = None) -> Tensor:
        """Map codes [..., c] back to states [..., h]; only where `expands` is true."""
        raise TypeError(f"{type(self).__name__} cannot map codes back to states; check `expands` first")

    def linear_down(self) -> Tensor | None:
        """Return the matrix [c, h] if codes are a linear map of states, up to their length; None otherwise."""
        return None

    def linear_up(self) -> Tensor | None:
        """Return the matrix [h, c] if `expand` is a linear map without a bias; None otherwise."""
        return None

    def fit(self, data: FitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit what has a closed form, in place, and leave the tensors named in `trained` as they are.

        Returns: the quality of what was fitted, by name; empty if nothing was.
        """
        return {}


class LookupTables(NamedTuple):
    """What stored bytes contribute to inner products with q queries, float32.

    by_byte [k, 256, q]: the contribution of each of k bytes, by its position and value. by_token [vocabulary, q]: the
    contribution of the token id in the two bytes before those, low byte first; None if codes hold no token id. factors [256]:
    what a sum is multiplied by, for each value of one byte after those; None if codes hold no such byte. Only codes with a
    token id may have it. shares [vocabulary] and context [q, w]: a sum also holds the share of its token id times the inner
    product of a row of `context` with the document's vector; None if bytes are not relative to a vector.
    """

    by_byte: Tensor
    by_token: Tensor | None = None
    factors: Tensor | None = None
    shares: Tensor | None = None
    context: Tensor | None = None


class Quantizer(Compressor, ABC):
    """A compressor that turns the direction of a state into bytes by itself.

    Codes z = A x / |A x| are stored as bytes that decode to an estimate z' of z. Its norm is below 1, the more so the less
    exactly the bytes determine z. The inner product with z' is the best estimate of the cosine, so heads compare by inner
    products and read bytes through `lookup_tables`. The bytes of z may depend on the token's id and, with a `vector_width`, on
    the vector of its document: `vectors` [..., w], which broadcast with [...] of the directions; None otherwise.
    """

    @property
    def vector_width(self) -> int | None:
        """The width w of the document's `vector` that bytes are relative to; None if they depend on none, the default."""
        return None

    @property
    @abstractmethod
    def code_bytes(self) -> int:
        """Bytes stored per token."""

    @abstractmethod
    def quantize(self, directions: Tensor, token_ids: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Map directions [..., c] of tokens with ids [...] to bytes, uint8 [..., code_bytes]."""

    @abstractmethod
    def decode(self, codes: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Decode bytes, uint8 [..., code_bytes], to directions [..., c]; differentiable in the weights."""

    def token_ids(self, codes: Tensor) -> Tensor | None:
        """Return the token ids that bytes [..., code_bytes] hold, int64 [...]; None if they hold none, the default."""
        return None

    @abstractmethod
    def lookup_tables(self, queries: Tensor) -> LookupTables:
        """Return what bytes contribute to inner products with queries [q, c]."""

    def straight_through(self, directions: Tensor, token_ids: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Quantise and decode directions [..., c]; gradients reach weights and vectors, and pass to directions unchanged."""
        decoded = self.decode(self.quantize(directions, token_ids, vectors), vectors)
        return decoded.to(directions) + (directions - directions.detach())
