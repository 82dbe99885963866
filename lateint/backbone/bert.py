"""BERT, and MiniLM checkpoints, which are BERT."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, Layer


def post_norm_layer(layer: Any, config: Any) -> Layer:
    """A view of a BERT-shaped layer (BERT, RoBERTa, ELECTRA)."""
    inner, out = layer.attention.self, layer.attention.output
    attention = Attention(inner.query, inner.key, inner.value, out.dense, out.LayerNorm)
    attention.heads = config.num_attention_heads
    attention.dropout = config.hidden_dropout_prob
    up, down = layer.intermediate, layer.output
    feed_forward = FeedForward(up.dense, down.dense, down.LayerNorm, up.intermediate_act_fn)
    feed_forward.dropout = config.hidden_dropout_prob
    return Layer(attention, feed_forward)


class Bert(Backbone):
    """Absolute positions, two segments, post-norm; the classifier reads the pooled CLS."""

    def build_layers(self) -> list[Layer]:
        return [post_norm_layer(layer, self.config) for layer in self.bare.encoder.layer]

    def embed(self, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.bare.embeddings(
            input_ids=ids, token_type_ids=segments, position_ids=positions + self.first_position
        )
        return states

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.model.classifier(self.model.dropout(self.bare.pooler(states)))
        return logits


FAMILY = Bert
