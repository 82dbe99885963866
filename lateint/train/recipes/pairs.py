"""Recipes of sentence-pair tasks: a cross-encoder for labelled pairs, its DSE student, and vector students of the base.

The base is used to one segment and to texts by themselves; a classifier over its CLS would have to be learned from
nothing. So the teacher reads a logit out of all joint rows, and begins with its gates all but shut: as it knows texts.
Its DSE student goes on from its encoder (`--base`), which by then tells pairs apart by vectors alone; the fresh head first.
"""

from __future__ import annotations

from dataclasses import replace

from lateint.methods.method import Layout, Stage
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.train.recipes.recipe import Recipe

BASE = "all-MiniLM-L6-v2"
ALONE = Layout(template="alone", max_length=128)
STAGE = Stage(
    losses=((part("bce"), 1.0),),
    train=("layers", "head"),
    rate=8e-5,
    head_rate=1e-3,
    vector_rate=3.0,
    queries=16,
    dropout=True,
)
STUDENT_STAGE = replace(
    STAGE, losses=((part("bce"), 0.5), (part("logit_mse"), 0.5)), rate=2e-5, head_rate=1e-4, vector_rate=1.0
)
HEAD_STAGE = replace(STUDENT_STAGE, train=("head",), head_rate=5e-4)  # over vectors that are computed once: quick
VECTOR_STAGE = Stage(
    losses=((part("projected_mse"), 1.0),), train=("layers", "vector_map"), rate=3e-4, head_rate=2e-3, queries=32
)

TEACHER = Recipe(
    name="pair_teacher",
    base=BASE,
    method=replace(
        preset("cross_encoder"),
        query=ALONE,
        document=ALONE,
        head=part("joint_layers", readout="calibrated_matches", gate=-5.0),
        stages=(STAGE,),
    ),
    shares={},
    steps=(450,),
    precision="bfloat16",
)

DSE = Recipe(
    name="pair_dse",
    base=BASE,
    method=replace(preset("dse"), stages=(HEAD_STAGE, STUDENT_STAGE)),
    shares={},
    steps=(300, 100),
    precision="bfloat16",
)

HPD = Recipe(
    name="hpd",
    base=BASE,
    method=replace(preset("hpd"), offline_layers=3, query_layers=3, stages=(VECTOR_STAGE,)),
    shares={},
    steps=(400,),
    teacher=BASE,
    precision="bfloat16",
)

EARLY_LAYERS = Recipe(
    name="early_layers",
    base=BASE,
    method=replace(preset("early_layers"), stages=(replace(VECTOR_STAGE, train=("layers",)),)),
    shares={},
    steps=(400,),
    teacher=BASE,
    precision="bfloat16",
)

PAIR_RECIPES = (TEACHER, DSE, HPD, EARLY_LAYERS)
