"""DistilBERT: the layers of BERT, without segments and without a pooler."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, Layer


class DistilBert(Backbone):
    """Absolute positions, no segments, post-norm. The classifier reads the CLS state through a dense layer and ReLU."""

    segments = False
    settings = ("n_heads", "activation")

    @property
    def width(self) -> int:
        return int(self.config.dim)

    def build_layers(self) -> list[Layer]:
        views = []
        for layer in self.bare.transformer.layer:
            inner = layer.attention
            attention = Attention(inner.q_lin, inner.k_lin, inner.v_lin, inner.out_lin, layer.sa_layer_norm)
            attention.heads = self.config.n_heads
            ffn = FeedForward(layer.ffn.lin1, layer.ffn.lin2, layer.output_layer_norm, layer.ffn.activation)
            ffn.dropout = self.config.dropout
            views.append(Layer(attention, ffn))
        return views

    def embed(self, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.bare.embeddings(input_ids=ids, position_ids=positions)
        return states

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        pooled = F.relu(self.model.pre_classifier(states[:, 0]))
        logits: Tensor = self.model.classifier(self.model.dropout(pooled))
        return logits


FAMILY = DistilBert
