"""The recipes of the teacher: a full cross-encoder, started as an encoder of single texts and taught by the default."""

from __future__ import annotations

from dataclasses import replace

from lateint.method import Layout, Method, Stage
from lateint.parts import part
from lateint.train.recipe import Recipe

STAGE = Stage(
    # Labels of three domains pull towards their templates; the default's scores, softened, hold on to what it knows of
    # all text, most of all on queries that have no labels. So does the cosine of both sides alone, which stays in the score.
    losses=((part("listwise"), 0.5), (part("kl", temperature=2.0), 1.0)),
    train=("layers", "head"),
    rate=5e-5,
    head_rate=3e-4,
    vector_rate=10.0,
    queries=4,
    negatives=7,
)

JOINT = part("joint_layers", readout="matches", gate=-2.0)  # students that keep joint layers share it

TEACHER = Recipe(
    name="teacher",
    base="all-MiniLM-L6-v2",
    method=Method(
        name="teacher",
        source="lateint",
        summary="stores token ids and a vector; all T layers over both, through learned gates; best matches beside the cosine",
        offline_layers=0,
        query_layers=0,
        query=Layout(template="alone", max_length=32),
        document=Layout(template="alone", max_length=192),
        codecs=(("token_ids", (part("cast", dtype="uint16"),)), ("vector", (part("cast", dtype="float16"),))),
        vector=part("mean"),
        head=part(JOINT.name, **dict(JOINT.settings), residual="cosine"),
        stages=(STAGE,),
    ),
    shares={},
    steps=(600,),
    teacher="default",
    spans=2500,
    precision="bfloat16",
    weights="int8",
)

# Then less of the labels and more of what the default knows of text of all kinds, on questions as people type them.
REFINED = replace(
    TEACHER,
    name="teacher_refined",
    base="teacher",
    method=replace(
        TEACHER.method,
        query=replace(TEACHER.method.query, trim="?"),
        stages=(replace(STAGE, losses=((part("listwise"), 0.25), (part("kl", temperature=2.0), 2.0)), rate=3e-5),),
    ),
    shares={"squad spans": 2, "medquad spans": 2, "selqa spans": 2},
    steps=(160,),
)
