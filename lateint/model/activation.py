"""Activations: what `predict` and `rank_texts` apply to logits. Rankings always sort logits.

Most heads are trained to order the candidates of one query: their logits have no fixed zero and no unit, and a sigmoid would
round all of them to 1. So the activation is identity unless a checkpoint records another one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lateint.backbone.base import Backbone
from lateint.errors import InputError
from lateint.methods.method import Method

Activation = Callable[[Tensor], Tensor]

IDENTITY, SIGMOID = "identity", "sigmoid"
_KNOWN: dict[str, Activation] = {IDENTITY: lambda logits: logits, SIGMOID: torch.sigmoid}
_CALIBRATING = {"bce"}  # losses that fit the sigmoid of a logit to labels


def find_activation(name: str) -> Activation:
    """Return the function of a recorded activation. Raises: InputError for one that this version does not apply."""
    if name not in _KNOWN:
        raise InputError(
            f"this checkpoint records the activation {name!r}; lateint applies {' and '.join(map(repr, _KNOWN))}: pass "
            "activation_fn=, or read the raw scores from `logits`"
        )
    return _KNOWN[name]


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
