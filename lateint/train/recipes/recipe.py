"""A recipe: a method with all settings that reproduce its checkpoint in one command. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from lateint.methods.method import Method


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A method over a named base, with its teacher, the shares of its training sources, and the steps of each stage."""

    name: str
    base: str
    method: Method
    shares: dict[str, int]
    steps: tuple[int, ...]
    teacher: str | Method | None = None  # a checkpoint, or a method over the base; None: the student itself
    partners: tuple[tuple[str, float], ...] = ()  # more teachers, each with its share of the scores
    spans: int = 0  # unlabelled queries cut from the documents of each source
    precision: str = "float32"
    weights: str = "float32"  # dtype of the saved tensors
    delta: bool | None = None  # False: the checkpoint holds its encoder as well, and needs no base
    seed: int = 0

    def to_json(self) -> dict[str, object]:
        """Plain data, for model cards and results."""
        names = ("name", "base", "shares", "steps", "spans", "precision", "weights", "seed")
        teacher = self.teacher.to_json() if isinstance(self.teacher, Method) else self.teacher
        facts: dict[str, object] = {name: getattr(self, name) for name in names}
        facts |= {"partners": [list(each) for each in self.partners]} if self.partners else {}
        return facts | {"teacher": teacher, "method": self.method.to_json()}
