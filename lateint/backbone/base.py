"""What every encoder family offers to the engine, and how a family is found."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lateint.backbone.layer import Layer, TokenStates
from lateint.errors import InputError, ModelError


class Backbone(nn.Module):
    """A Hugging Face encoder, taken apart. Each family subclasses this in a file named after its `model_type`.

    `model` is the transformers model (bare, or with a classification head) and owns every weight; `layers` are views.
    """

    rotary = False  # positions act inside attention only, so states do not depend on where a text starts
    segments = True  # the family has segment (token type) embeddings
    first_position = 0

    layers: tuple[Layer, ...]

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.encoder = (model.base_model,)  # in a tuple: registered once, through `model`
        self.config = model.config
        self.layers = tuple(self.build_layers())

    @property
    def bare(self) -> Any:
        """The encoder without a classification head."""
        return self.encoder[0]

    @property
    def width(self) -> int:
        """The hidden width h."""
        return int(self.config.hidden_size)

    @property
    def max_positions(self) -> int:
        """How many positions a text may use."""
        return int(self.config.max_position_embeddings) - self.first_position

    @property
    def has_classifier(self) -> bool:
        """Whether the checkpoint has a sequence-classification head."""
        return self.model is not self.bare

    def build_layers(self) -> list[Layer]:
        """The layers as views of the checkpoint's own modules."""
        raise ModelError(f"{type(self).__name__} does not say how its layers are built")

    def embed(self, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        """Token ids, segments and positions [n, t] int64 (positions counted from 0) -> states [n, t, h]."""
        raise ModelError(f"{type(self).__name__} does not say how tokens are embedded")

    @property
    def word_embeddings(self) -> Tensor:
        """Input embeddings of the vocabulary [vocabulary, e]."""
        found: Tensor = self.bare.get_input_embeddings().weight
        return found

    def position_table(self) -> Tensor | None:
        """Position embeddings [positions, h] as states get them; None under rotary positions."""
        return None if self.rotary else self.widen(self.bare.embeddings.position_embeddings.weight[self.first_position :])

    def segment_table(self) -> Tensor | None:
        """Segment embeddings [segments, h] as states get them; None for a family without segments."""
        return self.widen(self.bare.embeddings.token_type_embeddings.weight) if self.segments else None

    def widen(self, embeddings: Tensor) -> Tensor:
        """Embeddings [n, e] at the width of the layers, [n, h]."""
        return embeddings

    def train(self, mode: bool = True) -> Backbone:
        """Set training mode, of the views too: they hold the dropout switches but own no weights."""
        super().train(mode)
        for layer in self.layers:
            layer.train(mode)
        return self

    def run(self, rows: TokenStates, start: int, stop: int) -> TokenStates:
        """Rows after layers start..stop-1. Cost: (stop - start)·(12·t·h² + 2·t²·h) a text."""
        for layer in self.layers[start:stop]:
            rows = rows.with_states(layer(rows))
        return rows

    def final(self, states: Tensor) -> Tensor:
        """What the family does after its last layer (a final norm, for pre-norm families)."""
        return states

    @property
    def reads_cls_only(self) -> bool:
        """Whether the classification head looks at the first row alone."""
        return True

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Last states [n, t, h] (t may be 1 if `reads_cls_only`) -> logits [n, labels]."""
        raise ModelError(f"{type(self).__name__} has no classification head")

    def tensors(self, depth: int) -> dict[str, Tensor]:
        """The weights that states after `depth` layers pass through, by the checkpoint's own names."""
        last = depth == len(self.layers)
        kept = {}
        for name, tensor in self.bare.state_dict().items():
            number = _layer_number(name)
            below = name.startswith("embeddings") or (last and "final_norm" in name)
            if below if number is None else number < depth:
                kept[name] = tensor
        return kept


def _layer_number(name: str) -> int | None:
    """The layer that a weight belongs to: 3 for `encoder.layer.3.output.dense.weight`."""
    pieces = name.split(".")
    for before, piece in pairwise(pieces):
        if before in ("layer", "layers") and piece.isdecimal():
            return int(piece)
    return None


def supported_families() -> list[str]:
    """The `model_type`s that have an adapter."""
    own = {"base", "layer", "precision", "split", "tokenizer"}
    files = Path(__file__).parent.glob("*.py")
    return sorted(f.stem.replace("_", "-") for f in files if f.stem not in own and not f.stem.startswith("_"))


def check_family(family: str) -> None:
    """Raise ModelError for a family without an adapter; the message lists those that have one."""
    if family not in supported_families():
        raise ModelError(f"no adapter for encoder family {family!r}; supported: {', '.join(supported_families())}")


def adapt(model: Any) -> Backbone:
    """Take a transformers model apart.

    Raises: ModelError for a family without an adapter; the message lists those that have one.
    """
    family = str(model.config.model_type)
    check_family(family)
    module = importlib.import_module(f"lateint.backbone.{family.replace('-', '_')}")
    backbone: Backbone = module.FAMILY(model)
    return backbone.eval()


def check_positions(backbone: Backbone, last: int) -> None:
    """Refuse texts that reach beyond the backbone's positions. Raises: InputError."""
    if last > backbone.max_positions:
        raise InputError(
            f"the layout reaches position {last}, but this encoder has {backbone.max_positions}; "
            "lower document or query max_length"
        )
