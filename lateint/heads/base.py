"""The contract of heads: score the candidates of a query from their stored arrays, at query time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import TokenStates
from lateint.compressors.base import Compressor, FitData, FitSample
from lateint.errors import InputError
from lateint.heads.inputs import Candidates, QuantizedRows, Query
from lateint_store import Pipeline

if TYPE_CHECKING:
    from lateint.heads.evidence import Evidence

Watch = Callable[[int, TokenStates], None]
"""Called with a layer's number and the joint token states before it; T with those after the last layer."""


_SUMS_OF_MAXIMA = (
    "'maxsim' and 'evidence' can, 'cross_blocks', 'extra_layers', 'joint_layers' and 'small_transformer' with "
    "readout='matches', and 'cross_blocks' with residual='evidence'"
)


@dataclass(frozen=True, slots=True)
class TokenShares:
    """One candidate's score as a sum of all shares: those of token pairs, and those of other parts of the score by name.

    pairs: (row of the query, row of the document that is most similar to it, share); a row may occur in several pairs.
    """

    pairs: tuple[tuple[int, int, float], ...]
    parts: dict[str, float]

    @classmethod
    def of(cls, similarity: Tensor, factor: Tensor, counted: Tensor | None = None, **parts: Tensor) -> TokenShares:
        """Make the shares of a sum of maxima: Σ_i factor_i·max_j similarity_ji + Σ parts.

        similarity [m, q]; factor [q], or [] for all; counted [q] bool, the rows of the sum, None: all; parts: a number each.
        """
        rows = similarity.float().cpu().numpy().argmax(axis=0).tolist()  # of equal rows the first, which torch does not promise
        shares = (similarity.amax(dim=0) * factor).tolist()
        kept = range(len(shares)) if counted is None else counted.nonzero()[:, 0].tolist()
        return cls(tuple((i, rows[i], shares[i]) for i in kept), {name: float(part) for name, part in parts.items()})

    def __add__(self, other: TokenShares) -> TokenShares:
        """Return the shares of the sum of two scores, whose parts have different names."""
        return TokenShares(self.pairs + other.pairs, self.parts | other.parts)


class HeadFitData(FitData, Protocol):
    """What a head may be fitted on, beside states of documents; a sample is computed when a head asks for it."""

    def query_tokens(self) -> FitSample:
        """Return states and ids of the text tokens of some training queries."""
        ...

    def lost_length(self) -> float | None:
        """Return the mean norm of compressed states, divided by that after their codecs; None for lossless codecs."""
        ...


class _Borrowed:
    """Holds a module that belongs to the model, so that torch does not register it a second time below the head."""

    def __init__(self, module: nn.Module | None) -> None:
        self.module = module


class Head(nn.Module, ABC):
    """Scores the candidates of a query from their stored arrays.

    A subclass sets `reads` and implements `score`. It is built as `PART(backbone, method, compressor, **settings)`, its
    settings are keyword-only, and its fresh parameters are drawn from torch's generator. Backbone and compressor belong to the
    model.
    """

    needs_classifier = False
    """True if it reads the checkpoint's classification head."""
    vectors_only = False
    """True if it reads vectors only; then L is the depth of the vector."""

    def __init__(self, backbone: Backbone, compressor: Compressor | None = None) -> None:
        super().__init__()
        self._backbone, self._compressor = _Borrowed(backbone), _Borrowed(compressor)

    @property
    def backbone(self) -> Backbone:
        """The model's encoder."""
        backbone = self._backbone.module
        assert isinstance(backbone, Backbone)
        return backbone

    @property
    def compressor(self) -> Compressor | None:
        """The model's compressor; None without one."""
        compressor = self._compressor.module
        assert compressor is None or isinstance(compressor, Compressor)
        return compressor

    def use_compressor(self, compressor: Compressor | None) -> None:
        """Replace the compressor that states are expanded with; None: stored states are states."""
        self._compressor = _Borrowed(compressor)

    @property
    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """The stored arrays that scoring needs: some of `states`, `vector`, `token_ids`."""

    @abstractmethod
    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Score n candidates against one query: float32 [n]. Raises: InputError if an array of `reads` is missing."""

    def explain(self, query: Query, docs: Candidates) -> TokenShares:
        """Split the score of one candidate (n = 1) into shares that sum to `score`. The default refuses.

        Raises: InputError for a head whose score is no sum of maxima; the message names the heads that can explain.
        """
        raise self._cannot_explain()

    def _cannot_explain(self) -> InputError:
        name = type(self).__module__.rpartition(".")[2]
        return InputError(
            f"head {name!r} cannot explain its scores: with its settings they are no sums of maxima over tokens; "
            f"{_SUMS_OF_MAXIMA}; load a model with such a head, such as the default"
        )

    @property
    def stored_width(self) -> int | None:
        """Numbers stored per token if `store` changes the width; None: the width of the compressor or the backbone."""
        return None

    def store(self, states: Tensor) -> Tensor:
        """Map states or codes [n, m, c] to what is stored: themselves, unless the head projects them offline."""
        return states

    def stored_tensors(self) -> dict[str, Tensor]:
        """Return this head's weights that stored states pass through, by their names in it."""
        return {}

    def evidence_term(self) -> Evidence | None:
        """Return the `evidence` term that is part of the score; None without one."""
        return None

    def fit(self, data: HeadFitData, trained: frozenset[str] = frozenset()) -> dict[str, float]:
        """Fit what has a closed form, in place, and leave the parts named in `trained` as they are.

        Returns: the quality of what was fitted, by name; empty if nothing was.
        """
        return {}


class QuantizedHead(Head, ABC):
    """A head that can score stored bytes without decoding them, for arrays in codecs that it supports."""

    @abstractmethod
    def can_score_quantized(self, pipelines: Mapping[str, Pipeline]) -> bool:
        """True if it can score arrays in these codecs as they are stored."""

    @abstractmethod
    def score_quantized(self, query: Query, rows: Mapping[str, QuantizedRows]) -> Tensor:
        """Score n candidates from stored bytes: float32 [n], equal to `score` but for rounding."""

    def explain_quantized(self, query: Query, rows: Mapping[str, QuantizedRows]) -> TokenShares:
        """Split the score of one candidate into shares that sum to `score_quantized`. The default refuses.

        `rows`: every row of an array of token rows is a document of its own, so its similarities are no maxima yet.
        Raises: InputError as `explain`.
        """
        raise self._cannot_explain()


class JointHead(Head, ABC):
    """A head that runs encoder layers over query and document together."""

    @abstractmethod
    def score(self, query: Query, docs: Candidates, watch: Watch | None = None) -> Tensor:
        """Score n candidates: float32 [n]. `watch` sees all joint token states layer by layer."""

    @abstractmethod
    def trace(self, query: Query, docs: Candidates, *, compressed: bool = True) -> Sequence[TokenStates]:
        """Return the joint token states before each layer from L on, and after the last: T - L + 1 of them.

        `compressed=False`: `docs.states` are states, and both sides bypass the compressor.
        """

    @abstractmethod
    def cls(self, query: Query, docs: Candidates) -> Tensor:
        """Return the last CLS states [n, h] of n candidates, which a classifier that reads CLS alone classifies."""

    @abstractmethod
    def classify(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return logits [n] float32 of last states [n, t, h]; t may be 1 if the classifier reads CLS alone."""
