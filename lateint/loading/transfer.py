"""Use the weights of a lateint checkpoint under another method, for example to start a student from its teacher."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lateint.compressors.linear import Linear
from lateint.loading.packaged import Source
from lateint.loading.pretrained import MethodOverrides, pretrained
from lateint.methods.method import Method
from lateint.model.model import Model


def rebase(checkpoint: Model, source: Source, method: Method | None, changes: MethodOverrides) -> Model:
    """Build a model of another method (None: the checkpoint's own, with changes such as another L) on its encoder.

    Weights carry over for the encoder, and for every other part with the same name and shape in both methods: a classifier,
    a readout, a compressor, evidence (as the head or inside it). All other parts are initialised, from carried weights
    where they derive from them. `carried` of the result names the weights and parts outside the encoder that carried over.
    `source`: where the checkpoint's base is loaded from.
    """
    dtype = next(checkpoint.parameters()).dtype
    backbone, texts, chosen = pretrained(source, method or checkpoint.method, changes, dtype)
    _carry(checkpoint.backbone.bare.state_dict(), backbone.bare)
    if checkpoint.backbone.has_classifier and backbone.has_classifier:
        _carry(checkpoint.backbone.model.state_dict(), backbone.model)
    model = Model(backbone, texts, chosen, checkpoint.name)  # heads that copy layers copy the carried weights
    if model.query_backbone is not None and checkpoint.query_backbone is not None:
        _carry(checkpoint.query_backbone.bare.state_dict(), model.query_backbone.bare)
    outside = {key: value for key, value in checkpoint.state_dict().items() if "backbone." not in key}
    model.carried = _carry(outside, model)
    if model.method.head == checkpoint.method.head:
        model.activation = checkpoint.activation
    model.rebuild_head()  # a head can copy maps of the compressor, which have changed
    _carry(outside, model)
    if (evidence := checkpoint.head.evidence_term()) is not None and (below := model.head.evidence_term()) is not None:
        _carry(evidence.state_dict(), below)
        model.carried |= {"evidence"}
        carried = model.compressor if "compressor" in model.carried else None
        if evidence.document_map is not None and below.document_map is None and isinstance(carried, Linear):
            _fold(evidence.document_map.weight, carried)
    return model.to(dtype)


@torch.no_grad()
def _fold(weight: Tensor, compressor: Linear) -> None:
    """Fold the document map D of evidence into a linear compressor, so that it gives D z for codes z: scores stay equal.

    Decompression is multiplied by the pseudo-inverse of D.
    """
    compressor.down.copy_(weight @ compressor.down)
    compressor.up.copy_(compressor.up @ torch.linalg.pinv(weight))


def _carry(weights: Mapping[str, Tensor], into: nn.Module) -> frozenset[str]:
    """Load the weights that fit by name and shape; return their names and the names of their parts."""
    held = into.state_dict()
    fitting = {key: value for key, value in weights.items() if key in held and held[key].shape == value.shape}
    into.load_state_dict(fitting, strict=False)
    return frozenset(fitting) | {key.partition(".")[0] for key in fitting}
