"""BERT. MiniLM checkpoints have this `model_type` too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, Layer

if TYPE_CHECKING:
    from transformers.models.bert.configuration_bert import BertConfig
    from transformers.models.bert.modeling_bert import BertLayer


def post_norm_layer(layer: BertLayer, config: BertConfig) -> Layer:
    """Build a view of a post-norm layer of BERT, RoBERTa or ELECTRA: their modules have the same names."""
    inner, out = layer.attention.self, layer.attention.output
    attention = Attention(inner.query, inner.key, inner.value, out.dense, out.LayerNorm)
    attention.heads = config.num_attention_heads
    attention.dropout = config.hidden_dropout_prob
    up, down = layer.intermediate, layer.output
    feed_forward = FeedForward(up.dense, down.dense, down.LayerNorm, up.intermediate_act_fn)
    feed_forward.dropout = config.hidden_dropout_prob
    return Layer(attention, feed_forward)


class Bert(Backbone):
    """Absolute positions, two segments, post-norm. The classifier reads the pooled CLS state."""

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
