"""The contract of encoder families, and the adapter of each `model_type` of transformers."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lateint.backbone.layer import Layer, TokenStates
from lateint.errors import InputError, ModelError

_NOT_FAMILIES = {
    "base",
    "layer",
    "precision",
    "reduced",
    "seeding",
    "split",
    "tokenizer",
    "wordpieces",
}  # modules without an adapter

TransformersModel = Any
"""A model of transformers. Its modules and its configuration differ by family and have no common type."""


class Backbone(nn.Module, ABC):
    """A transformers encoder split into its layers. Each family is a subclass in a file named after its `model_type`.

    `model` is the transformers model, with or without a classification head. It owns all weights; `layers` are views of its
    modules. A family implements `build_layers`, `embed` and `classify`.
    """

    rotary = False
    """True if positions act inside attention only, so that states do not depend on where a text starts."""
    segments = True
    """True if the family has segment (token type) embeddings."""
    first_position = 0
    """Index of the first position in the checkpoint's position embeddings."""
    settings: tuple[str, ...] = ("num_attention_heads", "hidden_act", "layer_norm_eps")
    """Names of all values in the checkpoint's configuration that states depend on, beside the weights and their shapes."""

    layers: tuple[Layer, ...]

    def __init__(self, model: TransformersModel) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        self.layers = tuple(self.build_layers())

    @property
    def bare(self) -> TransformersModel:
        """The encoder without its classification head."""
        return self.model.base_model

    @property
    def width(self) -> int:
        """The hidden width h."""
        return int(self.config.hidden_size)

    @property
    def max_positions(self) -> int:
        """The number of positions available to a text."""
        return int(self.config.max_position_embeddings) - self.first_position

    @property
    def has_classifier(self) -> bool:
        """True if the checkpoint has a sequence-classification head."""
        return self.model is not self.bare

    def configuration(self) -> dict[str, object]:
        """Return the values of `settings`, JSON-able."""
        return {name: getattr(self.config, name, None) for name in self.settings}

    @abstractmethod
    def build_layers(self) -> list[Layer]:
        """Build the layers as views of the checkpoint's modules."""

    @abstractmethod
    def embed(self, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        """Embed token ids, segments and positions [n, t] int64 as states [n, t, h]. Positions count from 0."""

    @abstractmethod
    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """Map the last states [n, t, h] to logits [n, labels]; t may be 1 if `reads_cls_only`."""

    @property
    def word_embeddings(self) -> Tensor:
        """Input embeddings [vocabulary, e]."""
        weight: Tensor = self.bare.get_input_embeddings().weight
        return weight

    def position_table(self) -> Tensor | None:
        """Return the position embeddings at the width of the layers, [positions, h]; None for rotary positions."""
        return None if self.rotary else self.widen(self.bare.embeddings.position_embeddings.weight[self.first_position :])

    def segment_table(self) -> Tensor | None:
        """Return the segment embeddings at the width of the layers, [segments, h]; None for a family without segments."""
        return self.widen(self.bare.embeddings.token_type_embeddings.weight) if self.segments else None

    def widen(self, embeddings: Tensor) -> Tensor:
        """Project embeddings [n, e] to the width of the layers, [n, h]."""
        return embeddings

    def train(self, mode: bool = True) -> Backbone:
        """Set training mode for the model and for the layer views: the views apply the dropout of the layers."""
        super().train(mode)
        for layer in self.layers:
            layer.train(mode)
        return self

    def run(self, rows: TokenStates, start: int, stop: int) -> TokenStates:
        """Run layers start..stop-1. Cost: (stop - start)·(12·t·h² + 2·t²·h) per text."""
        for layer in self.layers[start:stop]:
            rows = rows.with_states(layer(rows))
        return rows

    def final(self, states: Tensor) -> Tensor:
        """Apply what follows the last layer: a final norm in pre-norm families, nothing in others."""
        return states

    @property
    def reads_cls_only(self) -> bool:
        """True if the classification head reads the first row only."""
        return True

    def tensors(self, depth: int) -> dict[str, Tensor]:
        """Return the weights that determine states after `depth` layers, by their names in the checkpoint."""
        last = depth == len(self.layers)
        kept = {}
        for name, tensor in self.bare.state_dict().items():
            number = _layer_number(name)
            below = name.startswith("embeddings") or (last and "final_norm" in name)
            if below if number is None else number < depth:
                kept[name] = tensor
        return kept


def _layer_number(name: str) -> int | None:
    """Return the layer number in a weight's name: 3 for `encoder.layer.3.output.dense.weight`; None without one."""
    pieces = name.split(".")
    for before, piece in pairwise(pieces):
        if before in ("layer", "layers") and piece.isdecimal():
            return int(piece)
    return None


def supported_families() -> list[str]:
    """Return the `model_type`s that have an adapter, sorted."""
    files = Path(__file__).parent.glob("[!_]*.py")
    return sorted(file.stem.replace("_", "-") for file in files if file.stem not in _NOT_FAMILIES)


def check_family(family: str) -> None:
    """Raise ModelError for a family without an adapter; the message lists the supported families."""
    if family not in supported_families():
        raise ModelError(f"no adapter for encoder family {family!r}; supported: {', '.join(supported_families())}")


def adapt(model: TransformersModel) -> Backbone:
    """Wrap a transformers model in the adapter of its family.

    Raises: ModelError for a family without an adapter; the message lists the supported families.
    """
    family = str(model.config.model_type)
    check_family(family)
    module = importlib.import_module(f"lateint.backbone.{family.replace('-', '_')}")
    backbone: Backbone = module.FAMILY(model)
    return backbone.eval()


def check_positions(backbone: Backbone, side: str, last: int) -> None:
    """Raise InputError if a text of this side, query or document, needs more positions than the backbone has."""
    if last > backbone.max_positions:
        raise InputError(
            f"the {side} layout reaches position {last}, but this encoder has {backbone.max_positions}; "
            "lower document or query max_length"
        )
