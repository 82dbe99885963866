"""The recipe of `latent`: what a cross-encoder knows of a passage, in some hundred bytes that are read as they are stored."""

from __future__ import annotations

from lateint.method import Layout, Method, Stage
from lateint.parts import part
from lateint.train.recipe import Recipe

LATENT = Recipe(
    name="latent",
    base="all-MiniLM-L6-v2",
    method=Method(
        name="latent",
        source="lateint",
        summary="stores 128 numbers of one bit for every second token and a vector of 128 4-bit numbers; evidence over both",
        offline_layers="T-2",
        query_layers="T-2",
        document=Layout(template="alone", max_length=256),
        query=Layout(template="alone", max_length=64, trim="?"),
        pool=part("clusters", factor=2),
        compressor=part("linear", width=128),
        vector=part("mean"),
        vector_map=part("linear", width=128),
        codecs=(
            ("states", (part("rotated", bits=1, scale="none"),)),
            ("vector", (part("rotated", bits=4, scale="none"),)),
        ),
        head=part("evidence", document_map=False),
        stages=(
            Stage(
                losses=((part("listwise"), 0.5), (part("kl", temperature=2.0), 1.0)),
                train=("layers", "head", "compressor", "vector_map"),
                rate=5e-5,
                head_rate=3e-4,
                vector_rate=10.0,
                queries=4,
                negatives=7,
                quantised=True,
            ),
        ),
    ),
    shares={},
    steps=(240,),
    teacher="teacher",
    spans=2500,
    precision="bfloat16",
    weights="int8",
)
