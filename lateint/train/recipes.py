"""Recipes by name: the evidence that all start from, the teacher, its students, and those of sentence pairs."""

from __future__ import annotations

from lateint.errors import InputError
from lateint.method import Layout, Method, Stage
from lateint.parts import part
from lateint.train.latent import LATENT
from lateint.train.pair_recipes import PAIR_RECIPES
from lateint.train.recipe import Recipe
from lateint.train.students import STUDENTS
from lateint.train.teacher import TEACHER, TEACHER_MSMARCO

EVIDENCE_STAGE = Stage(
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
        stages=(EVIDENCE_STAGE,),
    ),
    shares={"squad": 2, "medquad": 1, "selqa": 1},
    steps=(600,),
)

RECIPES = {recipe.name: recipe for recipe in (EVIDENCE, TEACHER, TEACHER_MSMARCO, LATENT, *STUDENTS, *PAIR_RECIPES)}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises: InputError that lists those there are."""
    if name not in RECIPES:
        raise InputError(f"no recipe is called {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
