"""RoBERTa: positions start after the padding index, and all tokens have the same segment."""

from __future__ import annotations

from torch import Tensor

from lateint.backbone.base import TransformersModel
from lateint.backbone.bert import Bert
from lateint.errors import ModelError


class Roberta(Bert):
    """The layers of BERT with one segment. The pair template of its tokenizer is `<s> q </s></s> d </s>`."""

    segments = False
    settings = (*Bert.settings, "pad_token_id")

    def __init__(self, model: TransformersModel) -> None:
        padding = model.config.pad_token_id
        if not isinstance(padding, int):
            raise ModelError(
                f"pad_token_id of {model.config.model_type} is {padding!r}; positions start after it: expected an int"
            )
        self.first_position = padding + 1
        super().__init__(model)

    def classify(self, states: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.model.classifier(states)
        return logits


FAMILY = Roberta
