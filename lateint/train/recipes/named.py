"""All recipes by name: `latent`, the default; the smaller teacher, what it starts from, and its students; sentence pairs."""

from __future__ import annotations

from lateint.errors import InputError
from lateint.train.recipes.evidence import EVIDENCE
from lateint.train.recipes.latent import LATENT, LATENT_MINILM
from lateint.train.recipes.pairs import PAIR_RECIPES
from lateint.train.recipes.recipe import Recipe
from lateint.train.recipes.students import STUDENTS
from lateint.train.recipes.teacher import TEACHER, TEACHER_MSMARCO

_OURS = (EVIDENCE, TEACHER, TEACHER_MSMARCO, LATENT, LATENT_MINILM)
RECIPES = {recipe.name: recipe for recipe in (*_OURS, *STUDENTS, *PAIR_RECIPES)}


def recipe(name: str) -> Recipe:
    """Return the recipe of that name. Raises: InputError for an unknown name; the message lists the known ones."""
    if name not in RECIPES:
        raise InputError(f"no recipe is called {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]
