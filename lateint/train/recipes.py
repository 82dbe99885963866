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
    teacher: str | None = None  # None: the start itself
    precision: str = "float32"
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """For model cards and results."""
        own = {key: getattr(self, key) for key in ("name", "base", "shares", "steps", "teacher", "precision", "seed")}
        return own | {"method": self.method.to_json()}


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

RECIPES = {recipe.name: recipe for recipe in (DEFAULT,)}


def recipe(name: str) -> Recipe:
    """The recipe of that name. Raises: InputError that lists those there are."""
    if name not in RECIPES:
        raise InputError(f"no recipe is called {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
