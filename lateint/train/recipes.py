"""Recipes: methods of our own with everything that remakes them in one command. Data, like the presets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lateint.errors import InputError
from lateint.method import Layout, Method, Stage
from lateint.parts import part


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A method over a named base, the sources it learns from with their shares, and steps for each stage."""

    name: str
    base: str
    method: Method
    shares: dict[str, int]
    steps: tuple[int, ...]
    teacher: str | Method | None = None  # a checkpoint, or the base under another method; None: the start itself
    spans: int = 0  # queries without labels, made of each source's own documents
    precision: str = "float32"
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """For model cards and results."""
        own = {key: getattr(self, key) for key in ("name", "base", "shares", "steps", "spans", "precision", "seed")}
        teacher = self.teacher.to_json() if isinstance(self.teacher, Method) else self.teacher
        return own | {"teacher": teacher, "method": self.method.to_json()}


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
        summary="stores token ids; all T layers over both, read out by best matches of all joint rows",
        offline_layers=0,
        query_layers=0,
        query=Layout(template="first", max_length=32),
        document=Layout(template="second", positions="follow", max_length=192, segment=0),
        codecs=(("token_ids", (part("cast", dtype="uint16"),)),),
        head=part("joint_layers", readout="matches"),
        stages=(TEACHER_STAGE,),
    ),
    shares={},
    steps=(600,),
    teacher="default",
    spans=2500,
    precision="bfloat16",
)

RECIPES = {recipe.name: recipe for recipe in (DEFAULT, TEACHER)}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises: InputError that lists those there are."""
    if name not in RECIPES:
        raise InputError(f"no recipe is called {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
