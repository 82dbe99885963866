"""The published methods as data. This is the only place that knows their names.

Defaults marked "ours" are not the paper's.
"""

from __future__ import annotations

from lateint.errors import InputError
from lateint.method import Layout, Method, Stage
from lateint.parts import Part, part

FLOAT16 = (part("cast", dtype="float16"),)
UINT16 = (part("cast", dtype="uint16"),)

QUERY_HALF = Layout(template="first", max_length=32)
OFFSET_HALF = Layout(template="second", positions="offset", max_length=256)
ALONE = Layout(template="alone", max_length=256)
LISTWISE = (Stage(loss=part("listwise"), train=("head", "layers"), rate=5e-5),)
MARGIN = (Stage(loss=part("margin_mse"), train=("head", "layers"), rate=2e-5),)


def _codecs(**arrays: tuple[Part, ...]) -> tuple[tuple[str, tuple[Part, ...]], ...]:
    return tuple(arrays.items())


CROSS_ENCODER = Method(
    name="cross_encoder",
    source="arXiv:1901.04085",
    summary="stores token ids; all T layers run over query and document together",
    offline_layers=0,
    query_layers=0,
    query=QUERY_HALF,
    document=Layout(template="second", positions="follow", max_length=256),
    codecs=_codecs(token_ids=UINT16),
    head=part("joint_layers"),
    stages=LISTWISE,
)

PRETTR = Method(
    name="prettr",
    source="arXiv:2004.14255, Sec. 3",
    summary="stores token states after layer L; layers L..T run over both, the last for CLS only",
    offline_layers="T/2",  # ours; the paper sweeps 1..T-1
    query_layers="T/2",
    query=QUERY_HALF,
    document=OFFSET_HALF,
    codecs=_codecs(states=FLOAT16),
    head=part("joint_layers"),
    stages=LISTWISE,
)

DEFORMER = Method(
    name="deformer",
    source="arXiv:2005.00697, Sec. 2",
    summary="stores token states after layer L; both sides count positions from 0; layers L..T run over both",
    offline_layers="3T/4",
    query_layers="3T/4",
    query=QUERY_HALF,
    document=Layout(template="second", positions="restart", max_length=256),
    codecs=_codecs(states=FLOAT16),
    head=part("joint_layers"),
    stages=LISTWISE,
)

MORES = Method(
    name="mores",
    source="arXiv:2004.13313, Sec. 3",
    summary="stores token states after all T layers; two interaction blocks update the query tokens only",
    offline_layers="T",
    query_layers="T-2",
    query=Layout(template="alone", max_length=32),
    document=ALONE,
    towers="copied",
    codecs=_codecs(states=FLOAT16),
    head=part("cross_blocks", blocks=2, first="T-2", order="cross_then_self"),
    stages=LISTWISE,
)

MICE = Method(
    name="mice",
    source="arXiv:2602.16299, Sec. 3",
    summary="stores token states after layer T/3; three blocks of self- and cross-attention update the query only",
    offline_layers="T/3",
    query_layers="T/3",
    query=Layout(template="alone", max_length=32),
    document=ALONE,
    codecs=_codecs(states=FLOAT16),
    head=part("cross_blocks", blocks=3, first="T/3", order="self_then_cross"),
    stages=MARGIN,
)

COLBERT = Method(
    name="colbert",
    source="arXiv:2004.12832, Sec. 3",
    summary="stores one normalised 128-wide vector a token; the score is a sum of maxima",
    offline_layers="T",
    query_layers="T",
    query=Layout(template="alone", max_length=32, marker="[unused0]", fill="[MASK]"),
    document=Layout(template="alone", max_length=256, marker="[unused1]"),
    pool=part("no_punctuation"),
    compressor=part("projection", width=128),
    codecs=_codecs(states=FLOAT16),
    head=part("maxsim"),
    stages=LISTWISE,
)

COSINE = Method(
    name="cosine",
    source="arXiv:1908.10084",
    summary="stores one vector a text; the score is the cosine",
    offline_layers="T",
    query_layers="T",
    query=Layout(template="alone", max_length=64),
    document=ALONE,
    vector=part("mean"),
    codecs=_codecs(vector=(part("cast", dtype="float32"),)),
    head=part("cosine"),
    stages=LISTWISE,
)

PRESETS = {m.name: m for m in (CROSS_ENCODER, PRETTR, DEFORMER, MORES, MICE, COLBERT, COSINE)}


def preset(name: str) -> Method:
    """The preset of that name. Raises: InputError that lists those there are."""
    if name not in PRESETS:
        raise InputError(f"no method is called {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]
