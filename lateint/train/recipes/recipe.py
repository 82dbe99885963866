"""A recipe: a method with everything that remakes its checkpoint in one command. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lateint.methods.method import Method


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
    weights: str = "float32"  # of the saved tensors
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """For model cards and results."""
        own = {key: getattr(self, key) for key in ("name", "base", "shares", "steps", "spans", "precision", "weights", "seed")}
        teacher = self.teacher.to_json() if isinstance(self.teacher, Method) else self.teacher
        return own | {"teacher": teacher, "method": self.method.to_json()}
