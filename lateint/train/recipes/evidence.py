"""The recipe of `evidence`: trains a head over frozen states of the base."""

from __future__ import annotations

from lateint.methods.method import Layout, Method, Stage
from lateint.methods.registry import part
from lateint.train.recipes.recipe import Recipe

_STAGE = Stage(
    losses=((part("listwise"), 1.0), (part("kl"), 1.0)),
    rate=3e-4,
    vector_rate=10.0,
    queries=12,
    negatives=7,
    pool=16,
)

EVIDENCE = Recipe(
    name="evidence",
    base="all-MiniLM-L6-v2",
    method=Method(
        name="evidence",
        source="lateint",
        summary="stores 128 int8 numbers a token after layer T-2 and the base vector; evidence beside the cosine",
        offline_layers="T-2",
        query_layers="T-2",
        document=Layout(template="alone", max_length=256),
        query=Layout(template="alone", max_length=64),
        compressor=part("linear", width=128),
        vector=part("mean"),
        codecs=(("states", (part("int8"),)), ("vector", (part("int8"),))),
        head=part("evidence"),
        stages=(_STAGE,),
    ),
    shares={"squad": 2, "medquad": 1, "selqa": 1},
    steps=(600,),
)
