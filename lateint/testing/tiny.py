"""Tiny random checkpoints of every encoder family, with word-level tokenizers, for tests without a network.

Their weights are large enough to spread the scores, so that a test for equal scores can fail.
"""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    XLMRobertaConfig,
)

_TEXT = """a an the of in to and is are was how what which when river stone bread oven yeast flour water salt engine wheel
brake oil filter bolt garden rose soil seed rain sun moon star orbit planet comet music violin string bow note chord tempo
python list sort file path read write open close thread lock queue socket server client , . ; : ! ? ( )"""
WORDS = _TEXT.split()
_FOLDER = tempfile.TemporaryDirectory(prefix="tiny-")  # removed when this process ends
_Settings = dict[str, Any]  # keyword arguments of configurations, whose types differ by family
SHAPE: _Settings = {"vocab_size": 128, "num_labels": 1, "initializer_range": 0.25, "pad_token_id": 0}
WIDE: _Settings = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}
CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**SHAPE, **WIDE, max_position_embeddings=96),
    "roberta": RobertaConfig(**SHAPE, **WIDE, max_position_embeddings=98, type_vocab_size=1),
    "xlm-roberta": XLMRobertaConfig(**SHAPE, **WIDE, max_position_embeddings=98, type_vocab_size=1),
    "electra": ElectraConfig(**SHAPE, **WIDE, embedding_size=16, max_position_embeddings=96),
    "distilbert": DistilBertConfig(**SHAPE, dim=32, n_layers=4, n_heads=4, hidden_dim=64, max_position_embeddings=96),
    "modernbert": ModernBertConfig(  # type: ignore[call-arg]  # it accepts the settings of its base class
        **SHAPE,
        **WIDE,
        max_position_embeddings=96,
        local_attention=32,
        global_attn_every_n_layers=2,  # pyright: ignore[reportCallIssue]
        initializer_cutoff_factor=3.0,
        bos_token_id=2,
        eos_token_id=3,
        cls_token_id=2,
        sep_token_id=3,
    ),
}
FAMILIES = sorted(CONFIGS)


def tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer with the pair template of a family."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]", "[unused1]"]
    raw = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    raw.normalizer = normalizers.Lowercase()
    raw.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    roberta = "roberta" in family
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] [SEP] $B [SEP]" if roberta else "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    inputs = ["input_ids", "attention_mask"]
    if family in ("bert", "electra"):
        inputs.append("token_type_ids")
    fast: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=raw, model_input_names=inputs, **names
    )
    return fast


@functools.cache
def checkpoint(family: str, labels: int = 1) -> Path:
    """Return a folder with a random classifier of a family; written once per process and removed when it ends."""
    folder = Path(_FOLDER.name) / f"{family}-{labels}"
    config = type(CONFIGS[family])(**{**CONFIGS[family].to_dict(), "num_labels": labels})
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_config(config).eval()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():  # give biases and norms non-trivial values
            if parameter.dim() == 1:
                mean = 1.0 if "norm" in name.lower() and "weight" in name else 0.0
                torch.nn.init.normal_(parameter, mean=mean, std=0.2)
    model.save_pretrained(folder)
    tokenizer(family).save_pretrained(folder)
    return folder


def texts(n: int, seed: int = 0, longest: int = 30) -> list[str]:
    """Return n random texts of 1..longest words of the tokenizer's vocabulary, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (n,), generator=generator).tolist()
    draws = (torch.randint(0, len(WORDS), (length,), generator=generator).tolist() for length in lengths)
    return [" ".join(WORDS[i] for i in draw) for draw in draws]
