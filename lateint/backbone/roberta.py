"""RoBERTa: positions start after the padding index, and there is one segment."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lateint.backbone.bert import Bert


class Roberta(Bert):
    """Like BERT, but the tokenizer's pair template is `<s> q </s></s> d </s>` and segments say nothing."""

    segments = False

    def __init__(self, model: Any) -> None:
        self.first_position = int(model.config.pad_token_id) + 1
        super().__init__(model)

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.model.classifier(states)
        return logits


FAMILY = Roberta
