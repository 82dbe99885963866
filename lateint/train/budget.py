"""How long a training run may take, and how else it is carried out; what is learned, the stages of a method say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a stage trains: `steps`, and no longer than `minutes`; the rate is at zero when the first is used up."""

    steps: int
    minutes: float = float("inf")

    def share(self, step: int, seconds: float) -> float:
        """How much of the budget is used up: 0..1."""
        return min(1.0, max(step / self.steps, seconds / 60 / self.minutes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a run is carried out, with a budget for every stage.

    `precision` bfloat16 runs the layers in mixed precision: on a CPU with AVX512-BF16 about 2.5 times as fast; weights and
    scores stay float32. `save_every` steps the state is kept, so that a run that was interrupted goes on from there.
    """

    folder: Path
    budgets: tuple[Budget, ...]
    shares: dict[str, int] | None = None
    seed: int = 0
    precision: str = "float32"
    save_every: int = 100
    on_gpu: bool = False
