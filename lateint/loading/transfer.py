"""Another method over the weights of a lateint checkpoint: how a student starts from its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lateint.loading.pretrained import MethodOverrides, pretrained
from lateint.methods.method import Method
from lateint.model.model import Model


def rebase(checkpoint: Model, source: Path | str, method: Method | None, changes: MethodOverrides) -> Model:
    """The encoder of a checkpoint under another method (None: its own, with changes such as another L).

    Weights of the encoder, and of every other part that has the same name and shape in both methods (a classifier, a
    readout, a compressor, evidence as a head of its own or below blocks), carry over; the rest is fresh, made from what
    did, and `carried` names the parts outside the encoder that are not. `source` is where the checkpoint's base comes from.
    """
    dtype = next(checkpoint.parameters()).dtype
    backbone, texts, settled = pretrained(source, method or checkpoint.method, changes, dtype)
    _carry(checkpoint.backbone.bare.state_dict(), backbone.bare)
    if checkpoint.backbone.has_classifier and backbone.has_classifier:
        _carry(checkpoint.backbone.model.state_dict(), backbone.model)
    model = Model(backbone, texts, settled, checkpoint.name)  # heads that copy layers copy the trained ones
    if model.query_backbone is not None and checkpoint.query_backbone is not None:
        _carry(checkpoint.query_backbone.bare.state_dict(), model.query_backbone.bare)
    own = {key: value for key, value in checkpoint.state_dict().items() if "backbone." not in key}
    model.carried = _carry(own, model)
    model.rebuild_head()  # heads fold the compressor's maps in: the ones that carried over
    _carry(own, model)
    if (evidence := checkpoint.head.evidence_term()) is not None and (below := model.head.evidence_term()) is not None:
        _carry(evidence.state_dict(), below)
        model.carried |= {"evidence"}
        if evidence.document_map is not None and below.document_map is None and "compressor" in model.carried:
            _fold(evidence.document_map.weight, model.compressor)
    return model.to(dtype)


@torch.no_grad()
def _fold(weight: Tensor, compressor: Any) -> None:
    """Let a linear compressor give D z, where evidence mapped its codes z by D before it compared them: the same scores.

    Its way back turns round with the codes, as far as D lets it.
    """
    compressor.down.copy_(weight @ compressor.down)
    compressor.up.copy_(compressor.up @ torch.linalg.pinv(weight))


def _carry(weights: Mapping[str, Tensor], into: nn.Module) -> frozenset[str]:
    """Load the weights that fit; returns their names, and those of the parts that they are in."""
    held = into.state_dict()
    fitting = {key: value for key, value in weights.items() if key in held and held[key].shape == value.shape}
    into.load_state_dict(fitting, strict=False)
    return frozenset(fitting) | {key.partition(".")[0] for key in fitting}
