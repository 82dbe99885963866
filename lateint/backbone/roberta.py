"""RoBERTa: positions start after the padding index, and all tokens have the same segment."""

from __future__ import annotations

from torch import Tensor

from lateint.backbone.base import TransformersModel
from lateint.backbone.bert import Bert


class Roberta(Bert):
    """The layers of BERT with one segment. The pair template of its tokenizer is `<s> q </s></s> d </s>`."""

    segments = False
    settings = (*Bert.settings, "pad_token_id")

    def __init__(self, model: TransformersModel) -> None:
        self.first_position = int(model.config.pad_token_id) + 1
        super().__init__(model)

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.model.classifier(states)
        return logits


FAMILY = Roberta
