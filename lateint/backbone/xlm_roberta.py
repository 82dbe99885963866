"""XLM-RoBERTa: RoBERTa with a multilingual vocabulary."""

from lateint.backbone.roberta import Roberta

FAMILY = Roberta
