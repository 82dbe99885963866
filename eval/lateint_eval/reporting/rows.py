"""The rows of the results page: every preset, its checkpoint, and the claims of its paper.

A headline ends with its source: [V:key] was read in the paper or its code, [S:key] in a secondary source that checked the
paper. A claim restates the headline in quantities that are measured here (see `claims.py`). Of several speed-ups in a paper
the lowest is used; thresholds of gain are ours, because no paper measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quantity = Literal[
    "gain",
    "speed-up",
    "low end of the lead over the cosine",
    "share of the cosine's nDCG@10",
    "times smaller than `prettr`",
    "STS-B",
    "share of the teacher's STS-B",
    "lead on STS-B over the teacher cut to its size",
]


@dataclass(frozen=True, slots=True)
class Claim:
    """A quantity and the value that it reaches if the paper's headline holds here."""

    quantity: Quantity
    at_least: float


@dataclass(frozen=True, slots=True)
class ResultRow:
    """A preset, the possible names of its checkpoint (the first that has a result is used), and its paper."""

    preset: str
    checkpoints: tuple[str, ...]
    headline: str
    setting: str  # the paper's setting, shown when our values differ
    claims: tuple[Claim, ...]
    pairs: str = ""  # this preset's row in the benchmark of sentence pairs
    rival: str = ""  # the row of that benchmark that it is compared with


TEACHER = "reranker"  # the checkpoint that all gains are measured against
BASE_PAIRS = "base, layer T, 384 numbers"
SOURCES = {
    "ce-emb-abs": "arXiv:2502.03552, abstract",
    "dcbert-survey": "a survey chapter with the tables of DC-BERT and ColBERT (arXiv:2002.12591, arXiv:2004.12832)",
    "deformer": "ACL 2020, paper 2020.acl-main.411",
    "dipair-check": "a published check of two papers, 2020.findings-emnlp.264 (DiPair) and 2020.emnlp-main.342 (MORES)",
    "dse-poster": "the authors' AAAI 2020 poster, github.com/noamrazin/noamrazin.github.io",
    "hpd-abs": "arXiv:2203.07687, abstract",
    "hpd-code": "github.com/XuandongZhao/HPD",
    "mice": "arXiv:2602.16299",
    "prettr-abs": "arXiv:2004.14255, abstract",
    "sciencestack-ce": "an account of arXiv:2502.03552, sciencestack.ai",
    "sdr-abs": "ACL 2022, paper 2022.acl-long.457, abstract",
    "sdr-code": "github.com/amzn/amazon-succinct-doc-representation",
    "tarski": "a published note on arXiv:2004.13313",
}
ROWS = (
    ResultRow(
        "cross_encoder",
        ("cross_encoder", TEACHER),
        "MS MARCO dev MRR@10 0.347 (BERT-base) and 0.365 (BERT-large), re-ranking 1,000 passages in 10.7 s and 32.9 s "
        "[S:dcbert-survey]",
        "BERT-base and -large trained on MS MARCO labels",
        (Claim("low end of the lead over the cosine", 0.0),),
    ),
    ResultRow(
        "prettr",
        ("prettr",),
        "up to 42 times faster, storage down by up to 95 %, without substantial degradation [V:prettr-abs]; later, on MiniLM: "
        "MS MARCO dev nDCG@10 44.5 against 44.7 unsplit [V:mice]",
        "web pages of TREC WebTrack and Robust04, 12 layers of width 768, a split as late as layer 11",
        (Claim("gain", 0.95), Claim("speed-up", 42.0)),
    ),
    ResultRow(
        "deformer",
        ("deformer",),
        "SQuAD F1 87.1 against 88.5 unsplit, 3.2 times faster [V:deformer]",
        "reading comprehension with BERT-base, fine-tuned for three epochs",
        (Claim("gain", 0.95), Claim("speed-up", 3.2)),
    ),
    ResultRow(
        "dc_bert",
        ("dc_bert",),
        "P@10 63.5 on Natural Questions against 65.0 of BERT-base, 10.3 times faster [S:dcbert-survey]",
        "paragraphs for open-domain questions, distant supervision, BERT-base",
        (Claim("gain", 0.8), Claim("speed-up", 10.3)),
    ),
    ResultRow(
        "mores",
        ("mores",),
        "two blocks not inferior to the BERT ranker at a margin of 2 %, 20 to 170 times faster on a CPU [S:dipair-check]; "
        "MS MARCO dev MRR@10 0.3456 [S:tarski]",
        "BERT-base trained on MS MARCO labels",
        (Claim("gain", 0.9), Claim("speed-up", 20.0)),
    ),
    ResultRow(
        "mice",
        ("mice",),
        "nDCG@10 42.1 on MS MARCO dev and 50.4 on BEIR-13, against 44.7 and 44.7 of its cross-encoder, 4 times faster [V:mice]",
        "12 layers of width 384, Margin-MSE on MS MARCO for 125,000 steps, on a GPU",
        (Claim("gain", 0.9), Claim("speed-up", 4.0)),
    ),
    ResultRow(
        "dipair",
        ("dipair",),
        "AUC .932 at 355 times the teacher's speed, against .936 of BERT-Tiny at 44 times [S:dipair-check]",
        "query-passage matching on private data, BERT-base teacher; the ratio is CPU time of the head alone",
        (Claim("gain", 0.7), Claim("speed-up", 355.0)),
    ),
    ResultRow(
        "sdr",
        ("sdr",),
        "4 to 11.6 times smaller than a narrower split model of equal quality [V:sdr-abs]; MS MARCO MRR@10 0.3756 before "
        "compression [V:sdr-code]",
        "MiniLM of 12 layers, 625,000 steps of Margin-MSE on MS MARCO",
        (Claim("gain", 0.95), Claim("times smaller than `prettr`", 4.0)),
    ),
    ResultRow(
        "colbert",
        ("colbert",),
        "MS MARCO dev MRR@10 34.9 in 61 ms a query, against 34.7 of BERT-base in 10,700 ms [S:dcbert-survey]",
        "BERT-base trained on MS MARCO labels, times on a GPU",
        (Claim("gain", 1.0), Claim("speed-up", 175.0)),
    ),
    ResultRow(
        "dse",
        ("dse",),
        "GLUE pairs 82.83 against 86.82 of BERT, 4.6 % less; 100,000 pairs in 0.2 s instead of 1 hour [V:dse-poster]",
        "BERT-large, fine-tuned on each task",
        (Claim("share of the teacher's STS-B", 0.95),),
        pairs="stsb-dse",
        rival="stsb-teacher",
    ),
    ResultRow(
        "hpd",
        ("hpd",),
        "STS-B 84.98 with 128 numbers a text, against 86.70 of its teacher with 1,024 [V:hpd-code]; retrieval 8.2 times "
        "faster, memory 8.0 times smaller [V:hpd-abs]",
        "six layers, SimCSE-RoBERTa-large as teacher, about three million augmented sentences",
        (Claim("STS-B", 0.8498), Claim("lead on STS-B over the teacher cut to its size", 0.0)),
        pairs="hpd",
        rival="base, layer 3, 128 numbers",
    ),
    ResultRow(
        "early_layers",
        ("early_layers",),
        "two layers within about 1 % of the full dual encoder [S:sciencestack-ce], 5.15 times faster inference [V:ce-emb-abs]",
        "larger encoders on retrieval sets; its speed is that of encoding, which this page does not measure",
        (Claim("share of the cosine's nDCG@10", 0.99),),
    ),
    ResultRow(
        "cosine",
        ("cosine",),
        "STS-B 77.03 (SBERT-base) [V:hpd-code]",
        "BERT-base trained on NLI sentences",
        (Claim("STS-B", 0.7703),),
        pairs=BASE_PAIRS,
    ),
)
