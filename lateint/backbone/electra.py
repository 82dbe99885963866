"""ELECTRA: the layers of BERT, with a projection where embeddings are narrower than the layers."""

from __future__ import annotations

from torch import Tensor

from lateint.backbone.bert import Bert


class Electra(Bert):
    """Absolute positions, two segments, post-norm. The classifier reads the CLS state through its own dense layer."""

    def embed(self, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        states = super().embed(ids, segments, positions)
        project = getattr(self.bare, "embeddings_project", None)
        return states if project is None else project(states)

    def widen(self, embeddings: Tensor) -> Tensor:
        project = getattr(self.bare, "embeddings_project", None)
        return embeddings if project is None else embeddings @ project.weight.T

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.model.classifier(states)
        return logits


FAMILY = Electra
