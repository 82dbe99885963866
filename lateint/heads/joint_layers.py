"""The remaining layers L..T over query and document together: PreTTR, DeFormer, SDR, and with L = 0 any cross-encoder."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Rows
from lateint.errors import InputError, ModelError
from lateint.method import Method
from lateint.split import Candidates, Query, document_start, join


class JointLayers(nn.Module):
    """Full attention over q + m tokens; the last layer computes the CLS row alone where the classifier reads only that.

    Cost a candidate: (T - L)·(12·(q+m)·h² + 2·(q+m)²·h) multiply-adds, the last layer 2·(q+m)·h².
    """

    needs_classifier = True

    def __init__(self, backbone: Backbone, method: Method, compressor: Any = None) -> None:
        super().__init__()
        self.backbone = (backbone,)  # in a tuple: its weights belong to the model
        self.compressor = (compressor,)
        self.method = method
        self.reads = ("states",) if method.depth else ("token_ids",)
        if method.document.positions == "follow" and method.depth and not backbone.rotary:
            raise InputError(
                f"method {method.name!r}: document positions 'follow' the query, so states after layer {method.depth} "
                "cannot be stored for this encoder; use 'offset' or 'restart'"
            )
        if int(backbone.config.num_labels) > 2:
            raise ModelError(f"a classifier with {backbone.config.num_labels} labels gives no score; expected 1 or 2")

    def score(self, query: Query, docs: Candidates) -> Tensor:
        """Logits [n] float32 of n candidates."""
        backbone, method = self.backbone[0], self.method
        rows = join(query.rows, self._document_rows(query, docs))
        depth = len(backbone.layers)
        if not backbone.reads_cls_only:
            rows = backbone.run(rows, method.depth, depth)
        elif method.depth < depth:
            rows = backbone.run(rows, method.depth, depth - 1)
            first = rows.first()
            rows = first.with_states(backbone.layers[-1](first, rows))
        logits = backbone.classify(backbone.final(rows.states), rows.mask).float()
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits[:, 0]

    def _document_rows(self, query: Query, docs: Candidates) -> Rows:
        stored = docs.states if docs.token_ids is None else docs.token_ids
        if stored is None:
            raise InputError(f"head 'joint_layers' reads {self.reads[0]!r}, which these candidates do not hold")
        n, m = stored.shape[:2]
        start = document_start(self.method.document, self.method.query, query.rows.states.shape[1])
        positions = (torch.arange(m, device=stored.device) + start).expand(n, m)
        if docs.token_ids is None:
            compressor = self.compressor[0]
            return Rows(stored if compressor is None else compressor.expand(stored), positions, docs.mask)
        segment = self.method.document.segment or 0
        segments = torch.full_like(docs.token_ids, segment)
        return Rows(self.backbone[0].embed(docs.token_ids, segments, positions), positions, docs.mask)


PART = JointLayers
