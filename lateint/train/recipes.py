"""Recipes by name: the shipped default, the teacher, its students, and those of sentence pairs."""

from __future__ import annotations

from lateint.errors import InputError
from lateint.method import Layout, Method, Stage
from lateint.parts import part
from lateint.train.pair_recipes import PAIR_RECIPES
from lateint.train.recipe import Recipe
from lateint.train.students import STUDENTS

EVIDENCE_STAGE = Stage(
    losses=((part("listwise"), 1.0), (part("kl"), 1.0)),
    rate=3e-4,
    vector_rate=10.0,
    queries=12,
    negatives=7,
    pool=16,
)

DEFAULT = Recipe(
    name="default",
    base="all-MiniLM-L6-v2",
    method=Method(
        name="default",
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
        stages=(EVIDENCE_STAGE,),
    ),
    shares={"squad": 2, "medquad": 1, "selqa": 1},
    steps=(600,),
)

TEACHER_STAGE = Stage(
    # Labels of three domains pull towards their templates; the default's scores, softened, hold on to what it knows of
    # all text, most of all on queries that have no labels.
    losses=((part("listwise"), 0.5), (part("kl", temperature=2.0), 1.0)),
    train=("layers", "head"),
    rate=5e-5,
    head_rate=3e-4,
    vector_rate=10.0,
    queries=4,
    negatives=7,
)

TEACHER = Recipe(
    name="teacher",
    base="all-MiniLM-L6-v2",
    method=Method(
        name="teacher",
        source="lateint",
        summary="stores token ids; all T layers over both, through learned gates; read out by best matches of joint rows",
        offline_layers=0,
        query_layers=0,
        query=Layout(template="alone", max_length=32),
        document=Layout(template="alone", max_length=192),
        codecs=(("token_ids", (part("cast", dtype="uint16"),)),),
        head=part("joint_layers", readout="matches", gate=-5.0),
        stages=(TEACHER_STAGE,),
    ),
    shares={},
    steps=(400,),
    teacher="default",
    spans=2500,
    precision="bfloat16",
    weights="int8",
)

RECIPES = {recipe.name: recipe for recipe in (DEFAULT, TEACHER, *STUDENTS, *PAIR_RECIPES)}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises: InputError that lists those there are."""
    if name not in RECIPES:
        raise InputError(f"no recipe is called {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
