"""Activations: what `predict` and `rank_texts` apply to logits. Rankings always sort logits.

Most heads are trained to order the candidates of one query: their logits have no fixed zero and no unit, and a plain sigmoid
would round all of them to 1. So the activation is identity unless a checkpoint records another one: "sigmoid" if training
fitted it, or a sigmoid with the scale and shift that `lateint.train.calibration` fitted later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lateint.backbone.base import Backbone
from lateint.errors import InputError
from lateint.methods.method import Method
from lateint_store.arguments import shown

Activation = Callable[[Tensor], Tensor]

IDENTITY, SIGMOID = "identity", "sigmoid"
_KNOWN: dict[str, Activation] = {IDENTITY: lambda logits: logits, SIGMOID: torch.sigmoid}
_CALIBRATING = {"bce"}  # losses that fit the sigmoid of a logit to labels


@dataclass(frozen=True, slots=True)
class Sigmoid:
    """sigmoid(scale * logit + shift), an increasing function of the logit.

    It is computed in float64. In float32, values near 1 are 6e-8 apart: logits that differ by less than 6e-8 / (scale *
    (1 - value)) can have one value. Raises: InputError for a scale or shift that is no number, and for a scale of 0 or less.
    """

    scale: float
    shift: float

    def __post_init__(self) -> None:
        for name in ("scale", "shift"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
                raise InputError(f"{name} of a sigmoid is {shown(value)}; expected a finite number")
        if self.scale <= 0:
            raise InputError(f"scale of a sigmoid is {self.scale!r}; expected a positive number, or order would change")

    def __call__(self, logits: Tensor) -> Tensor:
        """Apply the function, in float64; the result has the dtype of the logits."""
        return torch.sigmoid(logits.double() * self.scale + self.shift).to(logits.dtype)


def find_activation(recorded: str | Sigmoid) -> Activation:
    """Return the function of a recorded activation. Raises: InputError for one that this version does not apply."""
    if isinstance(recorded, Sigmoid):
        return recorded
    if recorded not in _KNOWN:
        raise InputError(
            f"this checkpoint records the activation {recorded!r}; lateint applies {' and '.join(map(repr, _KNOWN))}: pass "
            "activation_fn=, or read the raw scores from `logits`"
        )
    return _KNOWN[recorded]


def activation_to_json(recorded: str | Sigmoid) -> str | dict[str, str | float]:
    """Return what `lateint.json` holds. Raises: InputError for what is neither a name nor a `Sigmoid`."""
    if isinstance(recorded, Sigmoid):
        return {"name": SIGMOID, "scale": recorded.scale, "shift": recorded.shift}
    if not isinstance(recorded, str):
        raise InputError(f"activation is {shown(recorded)}; expected 'identity', 'sigmoid' or a Sigmoid(scale, shift)")
    return recorded


def activation_from_json(data: object) -> str | Sigmoid:
    """Return a recorded activation: the inverse of `activation_to_json`. Raises: InputError."""
    if isinstance(data, str):
        return data
    if not isinstance(data, dict) or set(data) != {"name", "scale", "shift"} or data["name"] != SIGMOID:
        raise InputError(f"activation is {shown(data)}; expected a name, or name {SIGMOID!r} with scale and shift")
    return Sigmoid(data["scale"], data["shift"])


def classifier_activation(backbone: Backbone) -> str:
    """Return the activation of a pretrained model: for a classifier the one in its configuration, else a sigmoid.

    sentence-transformers writes and reads the same entries, and has the same default for a single label. Identity for an
    encoder without a trained classifier, and under a head that does not use it.
    """
    trained = any("ForSequenceClassification" in name for name in backbone.config.architectures or [])
    if not (backbone.has_classifier and trained):
        return IDENTITY
    recorded = getattr(backbone.config, "sentence_transformers", None)
    path = recorded.get("activation_fn") if isinstance(recorded, dict) else None
    path = path or getattr(backbone.config, "sbert_ce_default_activation_function", None)
    if not isinstance(path, str):
        return SIGMOID
    name = path.rpartition(".")[2].lower()
    return name if path.startswith("torch.") and name in _KNOWN else path


def trained_activation(method: Method) -> str:
    """Return the activation that fits logits after training: a sigmoid if the last stage fits one to labels."""
    losses = {loss.name for loss, _ in method.stages[-1].losses} if method.stages else set()
    return SIGMOID if losses & _CALIBRATING else IDENTITY
