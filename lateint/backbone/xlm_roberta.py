"""XLM-RoBERTa: RoBERTa with another vocabulary."""

from lateint.backbone.roberta import Roberta

FAMILY = Roberta
