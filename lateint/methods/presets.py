"""The published methods as data. No other module knows their names.

A value marked "paper" is from the paper or its code. A value marked "ours" is our choice: the paper's value differs or is
not stated.
"""

from __future__ import annotations

from dataclasses import replace

from lateint.errors import InputError
from lateint.methods.method import Layout, Method, Stage
from lateint.methods.registry import Part, part

FLOAT32 = (part("cast", dtype="float32"),)
FLOAT16 = (part("cast", dtype="float16"),)
UINT16 = (part("cast", dtype="uint16"),)

QUERY_HALF = Layout(template="first", max_length=32)
OFFSET_HALF = Layout(template="second", positions="offset", max_length=256)
ALONE = Layout(template="alone", max_length=256)
# Everything but the embeddings; a method without a compressor ignores that entry. Freezing embeddings is ours: they are half
# of the weights of a small encoder.
ALL = ("layers", "compressor", "head")
LISTWISE = (Stage(losses=((part("listwise"), 1.0),), train=ALL, rate=5e-5),)
MARGIN = Stage(losses=((part("margin_mse"), 1.0),), train=("layers", "head"), rate=2e-5)


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
    codecs=_codecs(states=FLOAT16),  # uncompressed; the paper's compressor: compressor=part("bottleneck", width=128)
    head=part("joint_layers"),
    stages=(
        Stage(losses=((part("attention_mse"), 1.0),), train=("compressor",), rate=1e-3),  # the loss: paper; the rate: ours
        Stage(losses=((part("pairwise"), 1.0),), train=ALL, rate=2e-5, negatives=1, queries=16),  # paper's code
    ),
)

SDR = Method(
    name="sdr",
    source="arXiv:2110.02065, Sec. 3",
    summary="stores 16 numbers of 6 bits and the id of every token; an autoencoder restores states for layers T-2..T",
    offline_layers="T-2",
    query_layers="T-2",
    query=Layout(template="alone", max_length=24),
    document=Layout(template="alone", max_length=172, segment=1),  # its own CLS; ignored by families without segments
    towers="copied",
    compressor=part("aesi", width=16),
    codecs=_codecs(states=(part("drive", bits=6),), token_ids=UINT16),
    head=part("joint_layers"),
    stages=(
        replace(MARGIN, compressed=False),  # paper: train the ranker, freeze it, then train its autoencoder
        Stage(losses=((part("reconstruction_mse"), 1.0),), train=("compressor",), rate=1e-3),  # paper
    ),
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
    stages=(
        Stage(
            # Paper: the loss weights of its SQuAD runs and the temperature of its code. Ours: the listwise task loss.
            losses=((part("listwise"), 0.7), (part("kl", temperature=2.0), 1.1), (part("layer_mse"), 0.5)),
            train=ALL,
            rate=5e-5,  # paper's code
        ),
    ),
)

DC_BERT = Method(
    name="dc_bert",
    source="arXiv:2002.12591, Sec. 2",
    summary="stores token states after all T layers; positions and segments again, one more layer, both CLS",
    offline_layers="T",  # paper
    query_layers="T",  # paper
    query=Layout(template="alone", max_length=32),  # alone: paper; the length: ours
    document=ALONE,  # alone: paper; the length: ours
    towers="copied",  # paper: an online and an offline encoder, both fine-tuned
    codecs=_codecs(states=FLOAT16),  # ours; the paper caches float32
    head=part("extra_layers", layers=1),  # paper: K = 1 in its headline
    stages=(Stage(losses=((part("bce"), 1.0),), train=ALL, rate=5e-5),),  # the loss: paper; the rate: ours
)

MORES = Method(
    name="mores",
    source="arXiv:2004.13313, Sec. 3",
    summary="stores token states after all T layers; two interaction blocks update the query tokens only",
    offline_layers="T",  # paper
    query_layers="T-2",  # paper: the asymmetric variant; its query module omits the layers that the blocks copy
    query=Layout(template="alone", max_length=32),  # ours; the code has 16
    document=ALONE,  # ours; the code has 128
    towers="copied",  # ours; the code ties the layers and copies the embeddings
    codecs=_codecs(states=FLOAT16),  # ours
    # Paper: two blocks, initialised by copying layers, cross-attention first. This is its cache S1; S2 is cache="keys_values".
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
    # Layers above the last block are dropped: there may be fewer than T - L blocks.
    head=part("cross_blocks", blocks=3, first="T/3", order="self_then_cross"),
    stages=(MARGIN,),  # the loss: paper; the rate: ours
)

DIPAIR = Method(
    name="dipair",
    source="arXiv:2010.03099, Sec. 3",
    summary="stores the first 32 outputs of all T layers, 64 wide; a small transformer over those of both sides",
    offline_layers="T",  # paper
    query_layers="T",  # paper
    query=Layout(template="alone", max_length=32),  # paper
    document=Layout(template="alone", max_length=128),  # paper; the text is read in full, only the outputs are truncated
    pool=part("first", tokens=32),  # ours; we do not know the paper's N1 and N2
    compressor=part("linear", width=64),  # ours; we do not know the paper's width
    codecs=_codecs(states=FLOAT16),  # ours
    head=part("small_transformer", query_tokens=16, document_tokens=32, layers=2, heads=4),  # ours; depth unknown
    stages=(
        # Paper: distil scores, first with warm, frozen towers, then all weights. Rates: ours, we do not know the paper's.
        Stage(losses=((part("logit_mse"), 1.0),), train=("head", "compressor"), rate=1e-3),
        Stage(losses=((part("logit_mse"), 1.0),), train=ALL, rate=2e-5),
    ),
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

DSE = Method(
    name="dse",
    source="arXiv:1908.05161, Sec. 3",
    summary="stores one vector a text, the mean of its last four layers side by side; a network over pair features",
    offline_layers="T",  # paper
    query_layers="T",  # paper
    query=Layout(template="alone", max_length=128),  # paper: the length of its teacher
    document=Layout(template="alone", max_length=128),  # paper: the length of its teacher
    vector=part("top_layers_mean", layers=4),  # paper
    codecs=_codecs(vector=FLOAT32),  # paper: 4h numbers, 16,384 bytes at h = 1024
    head=part("pair_features", hidden=512),  # paper
    stages=(Stage(losses=((part("bce"), 0.5), (part("logit_mse"), 0.5)), train=("layers", "head"), rate=2e-5),),  # paper
)

HPD = Method(
    name="hpd",
    source="arXiv:2203.07687, Sec. 3",
    summary="stores one vector of 128 numbers a text, a dense layer over the mean; the score is the cosine",
    offline_layers="T",  # paper
    query_layers="T",  # paper
    query=Layout(template="alone", max_length=256),  # paper
    document=ALONE,  # paper
    vector=part("mean", normalise=False),  # paper
    vector_map=part("dense", width=128, activation="tanh"),  # paper
    codecs=_codecs(vector=FLOAT32),  # paper: 512 bytes
    head=part("cosine", normalise=True),  # paper
    stages=(Stage(losses=((part("projected_mse"), 1.0),), train=("layers", "vector_map"), rate=1e-4, queries=64),),  # paper
)

EARLY_LAYERS = Method(
    name="early_layers",
    source="arXiv:2502.03552",
    summary="stores one vector a text, the mean of states after two layers, as of a cross-encoder; the cosine",
    offline_layers=2,  # paper: its dual encoder has two layers
    query_layers=2,  # paper
    vector_layers=2,  # paper
    query=Layout(template="alone", max_length=64),  # ours
    document=ALONE,  # ours
    vector=part("mean"),  # ours
    codecs=_codecs(vector=FLOAT32),  # ours
    head=part("cosine"),  # ours
    stages=(Stage(losses=((part("kl", scale=20.0), 1.0),), train=("layers",), rate=1e-4, queries=16),),  # paper: distilled
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
    codecs=_codecs(vector=FLOAT32),
    head=part("cosine"),
    stages=(Stage(losses=((part("listwise", scale=20.0), 1.0),), train=("layers",), rate=5e-5, in_batch=True),),
)

_INTERACTION = (PRETTR, DEFORMER, DC_BERT, MORES, MICE, DIPAIR, SDR, COLBERT)
_VECTORS = (DSE, HPD, EARLY_LAYERS)
PRESETS = {m.name: m for m in (*_INTERACTION, *_VECTORS, CROSS_ENCODER, COSINE)}


def preset(name: str) -> Method:
    """Return the preset called `name`. Raises: InputError for an unknown name; the message lists the presets."""
    if not isinstance(name, str) or name not in PRESETS:
        raise InputError(f"no method is called {name!r}; there are: {', '.join(PRESETS)}")
    return PRESETS[name]
