"""The diary of a stage: the losses and the time of every step, kept with each saved state."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from lateint.train.budget import Budget


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the total loss, each loss before its weight, and seconds since the stage began."""

    step: int
    total: float
    losses: dict[str, float]
    seconds: float


class Diary(TrainerCallback, ExportableState):
    """Every step's losses and the time that was spent, kept with each saved state; ends a stage when its time is up."""

    def __init__(self, budget: Budget, watch: Callable[[Step], None] | None, steps: Sequence[Step] = ()) -> None:
        self.budget, self.watch = budget, watch
        self.steps = list(steps)
        self.before = self.steps[-1].seconds if self.steps else 0.0
        self.started = time.monotonic()
        self.pending: tuple[float, dict[str, float]] = (0.0, {})

    @property
    def seconds(self) -> float:
        """Time spent on this stage, that of interrupted runs included."""
        return self.before + time.monotonic() - self.started

    def share(self, step: int) -> float:
        """How much of the budget is used up."""
        return self.budget.share(step, self.seconds)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock: what was fitted before the first step is not on the budget."""
        self.started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the step down."""
        total, losses = self.pending
        self.steps.append(Step(state.global_step - 1, total, losses, self.seconds))
        if self.watch is not None:
            self.watch(self.steps[-1])
        if self.share(state.global_step) >= 1:
            control.should_training_stop = True

    def state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"args": {"steps": [asdict(step) for step in self.steps]}, "attributes": {}}


def steps_before(saved: Path) -> list[Step]:
    """The steps that a saved state was reached by."""
    state = json.loads((saved / "trainer_state.json").read_text(encoding="utf-8"))
    return [Step(**step) for step in state["stateful_callbacks"]["Diary"]["args"]["steps"]]


SMOOTH = 20  # steps that one point of a curve is the mean of


def write_json(history: Sequence[Sequence[Step]], file: Path) -> None:
    """Every step of every stage."""
    file.write_text(json.dumps([[asdict(step) for step in stage] for stage in history]), encoding="utf-8")


def write_png(history: Sequence[Sequence[Step]], file: Path) -> bool:
    """One panel a stage, one curve a loss, smoothed over 20 steps. Returns: False where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    stages = [steps for steps in history if steps]
    figure = Figure(figsize=(6.4 * max(1, len(stages)), 4), layout="constrained")
    for place, steps in enumerate(stages):
        _panel(figure.add_subplot(1, len(stages), place + 1), steps, f"stage {place}")
    figure.savefig(file, dpi=100)
    return True


def _panel(axes: Any, steps: Sequence[Step], title: str) -> None:
    for name in steps[0].losses:
        values = [step.losses[name] for step in steps]
        width = min(SMOOTH, len(values))
        smooth = [sum(values[i - width : i]) / width for i in range(width, len(values) + 1)]
        axes.plot(range(width - 1, len(values)), smooth, label=name)
    axes.set_title(f"{title}: {len(steps)} steps, {steps[-1].seconds / 60:.0f} min")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, before its weight")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
