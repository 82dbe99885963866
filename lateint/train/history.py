"""The history of a stage: losses and time of every step, saved with each state of the Trainer; and its loss curves."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from lateint.train.plan import Budget
from lateint_store.disk.files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SMOOTHED_STEPS = 20  # steps whose mean is one point of a curve


@dataclass(frozen=True, slots=True)
class Step:
    """One step: the total loss, each loss before its weight, and seconds since the stage began."""

    step: int
    total: float
    losses: dict[str, float]
    seconds: float


class StageHistory(TrainerCallback, ExportableState):
    """Records losses and time of every step of a stage, and ends the stage when its budget is used up.

    Args: `on_step` is called with each recorded step; `steps` are those of the interrupted run that is resumed.
    """

    def __init__(self, budget: Budget, on_step: Callable[[Step], None] | None, steps: Sequence[Step] = ()) -> None:
        self.budget, self.on_step = budget, on_step
        self.steps = list(steps)
        self.earlier_seconds = self.steps[-1].seconds if self.steps else 0.0
        self.started = time.monotonic()
        self.pending: tuple[float, dict[str, float]] = (0.0, {})  # total and losses of the step that is being computed

    @property
    def seconds(self) -> float:
        """Seconds spent on this stage, interrupted runs included."""
        return self.earlier_seconds + time.monotonic() - self.started

    def share(self, step: int) -> float:
        """The share of the budget that is used up, 0..1."""
        return self.budget.share(step, self.seconds)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Start the clock here: fitting before the first step does not count."""
        self.started = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Record the step."""
        total, losses = self.pending
        self.steps.append(Step(state.global_step - 1, total, losses, self.seconds))
        if self.on_step is not None:
            self.on_step(self.steps[-1])
        if self.share(state.global_step) >= 1:
            control.should_training_stop = True

    def state(self) -> dict[str, object]:
        """What the Trainer saves for a resumed run, under the name of this class."""
        return {"args": {"steps": [asdict(step) for step in self.steps]}, "attributes": {}}


def saved_steps(checkpoint: Path) -> list[Step]:
    """The steps that led to a saved state of the Trainer."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    return [Step(**step) for step in state["stateful_callbacks"][StageHistory.__name__]["args"]["steps"]]


def write_json(history: Sequence[Sequence[Step]], file: Path) -> None:
    """Write every step of every stage."""
    replace_file(file, json.dumps([[asdict(step) for step in stage] for stage in history]).encode())


def write_png(history: Sequence[Sequence[Step]], file: Path) -> bool:
    """Draw one panel per stage with one curve per loss, smoothed over 20 steps.

    Returns: False if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    stages = [steps for steps in history if steps]
    figure = Figure(figsize=(6.4 * max(1, len(stages)), 4), layout="constrained")
    for index, steps in enumerate(stages):
        _draw_stage(figure.add_subplot(1, len(stages), index + 1), steps, f"stage {index}")
    image = io.BytesIO()
    figure.savefig(image, dpi=100)
    replace_file(file, image.getvalue())
    return True


def _draw_stage(axes: Axes, steps: Sequence[Step], title: str) -> None:
    for name in steps[0].losses:
        values = [step.losses[name] for step in steps]
        width = min(_SMOOTHED_STEPS, len(values))
        smooth = [sum(values[i - width : i]) / width for i in range(width, len(values) + 1)]
        axes.plot(range(width - 1, len(values)), smooth, label=name)
    axes.set_title(f"{title}: {len(steps)} steps, {steps[-1].seconds / 60:.0f} min")
    axes.set_xlabel("step")
    axes.set_ylabel("loss, before its weight")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
