"""Recipes of `latent`: distil cross-encoders into a few hundred bytes per passage, scored as they are stored."""

from __future__ import annotations

from dataclasses import replace

from lateint.methods.method import Layout, Method, Stage
from lateint.methods.registry import part
from lateint.train.recipes.recipe import Recipe
from lateint.train.recipes.teacher import TEACHER, TEACHER_STAGE

_COLBERT, _RERANKER = "answerai-colbert-small-v1", "ms-marco-MiniLM-L12-v2"

LATENT = Recipe(
    name="latent",
    base=_COLBERT,
    method=Method(
        name="latent",
        source="lateint",
        summary="stores word pieces with 3 codebook entries and a length each, relative to a vector of 128 4-bit numbers; "
        "evidence over both",
        offline_layers="T",
        query_layers="T",
        towers="separate",
        document=Layout(template="alone", max_length=180, marker="[unused1]"),
        query=Layout(template="alone", max_length=32, marker="[unused0]", fill="[MASK]", attend_to_fill=False),
        pool=part("no_punctuation"),
        compressor=part("word_context", width=128, levels=3, vector_width=128),
        vector=part("mean"),
        vector_map=part("linear", width=128),
        codecs=(("vector", (part("rotated", bits=4, scale="none"),)),),
        head=part("evidence", document_map=False, rows="all", same_word=True),
        stages=(
            Stage(
                losses=((part("listwise"), 0.2), (part("kl", temperature=2.0), 1.0)),
                train=("query_layers:4", "head"),  # documents stay as ColBERT encodes them; their codes are fitted
                rate=2e-5,
                head_rate=2e-4,
                vector_rate=10.0,
                queries=16,
                negatives=11,
            ),
        ),
    ),
    shares={},
    steps=(300,),
    teacher=_RERANKER,
    # A student of the reranker alone falls to its level on medical questions, where the base ranks better.
    partners=((_COLBERT, 0.6),),
    weights="int8",
    delta=False,
)

# The default of earlier versions, over a bi-encoder's layers and a teacher that was trained here.
LATENT_MINILM = Recipe(
    name="latent_minilm",
    base="evidence",
    method=Method(
        name="latent",
        source="lateint",
        summary="stores word pieces with 32 bits of context each, and a vector of 128 4-bit numbers; evidence over both",
        offline_layers="T-2",
        query_layers="T-2",
        document=Layout(template="alone", max_length=256),
        query=Layout(template="alone", max_length=64, trim="?"),
        pool=part("no_punctuation"),
        compressor=part("words", width=128, bits=32),
        vector=part("mean"),
        vector_map=part("linear", width=128),
        codecs=(("vector", (part("rotated", bits=4, scale="none"),)),),
        head=part("evidence", document_map=False),
        # The teacher's own schedule, as for all its students: one file of scores serves them all.
        stages=(replace(TEACHER_STAGE, train=(*TEACHER_STAGE.train, "compressor", "vector_map"), quantised=True),),
    ),
    shares=TEACHER.shares,
    steps=(240,),
    teacher=TEACHER.name,
    spans=TEACHER.spans,
    precision=TEACHER.precision,
    weights=TEACHER.weights,
)
