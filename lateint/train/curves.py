"""Loss curves of a run, as JSON and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lateint.train.diary import Step

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
