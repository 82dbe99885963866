"""ModernBERT: rotary positions, pre-norm, gated feed-forward, and sliding-window attention in most layers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from lateint.backbone.base import Backbone
from lateint.backbone.layer import Attention, FeedForward, FusedSlice, Layer

if TYPE_CHECKING:
    from transformers.models.modernbert.modeling_modernbert import ModernBertEncoderLayer


def _tables(rotary: nn.Module, layer_type: str, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of positions [n, t] for the layers of a type, float32."""
    like = torch.empty(0, dtype=torch.float32, device=positions.device)  # transformers reads only its device and dtype
    cos, sin = rotary(like, positions, layer_type)
    return cos, sin


class ModernBert(Backbone):
    """Rotary positions, no segments, pre-norm. States do not depend on where a text starts: positions `follow` is allowed."""

    rotary = True
    segments = False
    settings = ("num_attention_heads", "hidden_activation", "norm_eps", "layer_types", "local_attention", "rope_parameters")

    def build_layers(self) -> list[Layer]:
        return [self._view(layer) for layer in self.bare.layers]

    def _view(self, layer: ModernBertEncoderLayer) -> Layer:
        maps = [FusedSlice(layer.attn.Wqkv, i) for i in range(3)]
        attention = Attention(maps[0], maps[1], maps[2], layer.attn.Wo, layer.attn_norm)
        attention.heads, attention.pre_norm = self.config.num_attention_heads, True
        attention.rotary = partial(_tables, self.bare.rotary_emb, layer.attention_type)  # is pickled, and copied with the rest
        if layer.attention_type == "sliding_attention":
            attention.window = int(self.config.sliding_window)
        feed_forward = FeedForward(layer.mlp.Wi, layer.mlp.Wo, layer.mlp_norm, layer.mlp.act)
        feed_forward.pre_norm = feed_forward.gated = True
        return Layer(attention, feed_forward)

    def embed(self, ids: Tensor, segments: Tensor, positions: Tensor) -> Tensor:
        states: Tensor = self.bare.embeddings(input_ids=ids)
        return states

    def final(self, states: Tensor) -> Tensor:
        normed: Tensor = self.bare.final_norm(states)
        return normed

    @property
    def reads_cls_only(self) -> bool:
        return bool(self.config.classifier_pooling == "cls")

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        if self.reads_cls_only:
            pooled = states[:, 0]
        elif mask is None:
            pooled = states.mean(dim=1)
        else:
            pooled = (states * mask.unsqueeze(-1)).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        logits: Tensor = self.model.classifier(self.model.drop(self.model.head(pooled)))
        return logits


FAMILY = ModernBert
