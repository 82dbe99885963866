"""What a training run reports while it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lateint.train.history import Step


class TrainingProgress:
    """Receives the events of a run. Methods do nothing by default; override those that you need."""

    def resumed(self, folder: Path) -> None:
        """An interrupted run in `folder` is resumed."""

    def initialised(self, qualities: Mapping[str, float]) -> None:
        """Parts were fitted before the first step; `qualities` says how well, by part."""

    def step(self, stage: int, step: Step) -> None:
        """One step of a stage is done."""

    def trained(self, history: Sequence[Sequence[Step]]) -> None:
        """All stages are done, nothing is saved yet; `history` holds the steps of each stage."""
