"""The recipe of `latent`: distils a cross-encoder into a few hundred bytes per passage, scored as they are stored."""

from __future__ import annotations

from dataclasses import replace

from lateint.methods.method import Layout, Method
from lateint.methods.registry import part
from lateint.train.recipes.recipe import Recipe
from lateint.train.recipes.teacher import TEACHER, TEACHER_STAGE

LATENT = Recipe(
    name="latent",
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
