"""Recipes of the teacher: a full cross-encoder that starts as an encoder of single texts and learns from `evidence`."""

from __future__ import annotations

from dataclasses import replace

from lateint.methods.method import Layout, Method, Stage
from lateint.methods.registry import part
from lateint.train.recipes.recipe import Recipe

TEACHER_STAGE = Stage(
    # The labels come from three domains and would overfit to their templates. The softened scores of `evidence` preserve
    # what the base knows of other text, above all on queries without labels; so does the cosine, which stays in the score.
    losses=((part("listwise"), 0.5), (part("kl", temperature=2.0), 1.0)),
    train=("layers", "head"),
    rate=5e-5,
    head_rate=3e-4,
    vector_rate=10.0,
    queries=4,
    negatives=7,
)

JOINT = part("joint_layers", readout="matches", gate=-2.0)  # also the head of students with joint layers

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
        stages=(TEACHER_STAGE,),
    ),
    shares={},
    steps=(600,),
    teacher="evidence",
    spans=2500,
    precision="bfloat16",
    weights="int8",
)

# Fine-tunes the teacher on graded judgements of web queries. The licence of MS MARCO keeps the result out of every checkpoint
# that ships. The teacher's own softened scores preserve what it knows, because a few dozen queries cannot replace that.
TEACHER_MSMARCO = replace(
    TEACHER,
    name="teacher_msmarco",
    base=TEACHER.name,
    method=replace(
        TEACHER.method,
        name="teacher_msmarco",
        query=replace(TEACHER.method.query, trim="?"),
        stages=(replace(TEACHER_STAGE, rate=2e-5, head_rate=1e-4),),
    ),
    shares={"msmarco-dl21": 3},
    steps=(160,),
    teacher=TEACHER.name,
)
