"""Recipes of sentence-pair tasks: a cross-encoder for labelled pairs, its DSE student, and vector students of the base.

The base was trained on single texts in one segment, so a classifier over its CLS would start from nothing. The teacher
therefore reads its logit from all joint token states, and its gates start almost closed, so that it starts as an encoder of
single texts. Its DSE student starts from the teacher's encoder (`--base`), whose vectors already tell pairs apart; its
fresh head is trained first.
"""

from __future__ import annotations

from dataclasses import replace

from lateint.methods.method import Layout, Stage
from lateint.methods.presets import preset
from lateint.methods.registry import part
from lateint.train.recipes.recipe import Recipe

_BASE = "all-MiniLM-L6-v2"
_ALONE = Layout(template="alone", max_length=128)
_STAGE = Stage(
    losses=((part("bce"), 1.0),),
    train=("layers", "head"),
    rate=8e-5,
    head_rate=1e-3,
    vector_rate=3.0,
    queries=16,
    dropout=True,
)
_STUDENT_STAGE = replace(
    _STAGE, losses=((part("bce"), 0.5), (part("logit_mse"), 0.5)), rate=2e-5, head_rate=1e-4, vector_rate=1.0
)
_HEAD_STAGE = replace(_STUDENT_STAGE, train=("head",), head_rate=5e-4)  # quick: vectors are computed once
_VECTOR_STAGE = Stage(
    losses=((part("projected_mse"), 1.0),), train=("layers", "vector_map"), rate=3e-4, head_rate=2e-3, queries=32
)

_TEACHER = Recipe(
    name="pair_teacher",
    base=_BASE,
    method=replace(
        preset("cross_encoder"),
        query=_ALONE,
        document=_ALONE,
        head=part("joint_layers", readout="calibrated_matches", gate=-5.0),
        stages=(_STAGE,),
    ),
    shares={},
    steps=(450,),
    precision="bfloat16",
)

_DSE = Recipe(
    name="pair_dse",
    base=_BASE,
    method=replace(preset("dse"), stages=(_HEAD_STAGE, _STUDENT_STAGE)),
    shares={},
    steps=(300, 100),
    precision="bfloat16",
)

_HPD = Recipe(
    name="hpd",
    base=_BASE,
    method=replace(preset("hpd"), offline_layers=3, query_layers=3, stages=(_VECTOR_STAGE,)),
    shares={},
    steps=(400,),
    teacher=_BASE,
    precision="bfloat16",
)

_EARLY_LAYERS = Recipe(
    name="early_layers",
    base=_BASE,
    method=replace(preset("early_layers"), stages=(replace(_VECTOR_STAGE, train=("layers",)),)),
    shares={},
    steps=(400,),
    teacher=_BASE,
    precision="bfloat16",
)

PAIR_RECIPES = (_TEACHER, _DSE, _HPD, _EARLY_LAYERS)
