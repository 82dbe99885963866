"""Checkpoints of a report, and the facts known without running them: identity, settings, training."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lateint_eval.formats.records import Json

if TYPE_CHECKING:
    from lateint.model.model import Model

_STEPS = re.compile(r"(\d[\d,]*)\s+steps\b")
_TIME = re.compile(r"(\d[\d,.]*)\s+(second|minute|hour)s?\b")
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0}
_TRAINED_BY = re.compile(r"`(lateint\s+train\s[^`]+)`")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded lateint checkpoint; `name` is the name of its folder."""

    name: str
    folder: Path
    model: Model

    def facts(self) -> Json:
        """Return the facts about the checkpoint that a result stores."""
        from lateint.model.digests import digest_tensors

        return {
            "checkpoint": self.name,
            "digest": digest_tensors(self.model.state_dict()),
            "settings": settings(self.model),
            "method": about(self.model),
            "residual": adds_residual(self.model),
            "training": training(self.folder),
        }


def find_checkpoints(folder: Path) -> list[Path]:
    """Return the sub-folders that are lateint checkpoints, by name; unfinished training runs are left out."""
    from lateint.model.saving import CONFIG

    return sorted(below for below in folder.iterdir() if (below / CONFIG).is_file())


def load(folder: Path) -> Checkpoint:
    """Load a checkpoint. Raises: ModelError, DamagedCheckpoint."""
    from lateint.loading.load import load_model

    return Checkpoint(
        folder.name, folder, load_model(folder, precision="float32")
    )  # stored results do not depend on the processor


def settings(model: Model) -> Json:
    """Return the settings that change scores without changing weights; with the digest they identify a checkpoint."""
    method = model.method
    return {
        "L": method.depth,
        "query layers": method.query_depth,
        "query tokens": method.query.max_length,
        "document tokens": method.document.max_length,
        "codecs": "; ".join(f"{name}={'+'.join(map(str, steps))}" for name, steps in method.codecs),
    }


def about(model: Model) -> Json:
    """Return further facts about a model for readers of the page."""
    method = model.method
    compressor = "none" if method.compressor is None else str(method.compressor)
    layers = len(model.backbone.layers)
    return {"name": method.name, "layers": layers, "head": str(method.head), "compressor": compressor}


def adds_residual(model: Model) -> bool:
    """Return True if the head adds the cosine of the query and document vectors to its own score."""
    head = model.method.head
    return head.name == "evidence" or dict(head.settings).get("residual", "none") not in ("none", False, None)


def training(folder: Path) -> Json:
    """Return steps, seconds and command of the training, from `history.json` or the model card; None for unknown ones.

    In a card, the first "600 steps" and the first "32 minutes" (or seconds, or hours) count.
    """
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    command = _TRAINED_BY.search(text)
    found = {"command": None if command is None else " ".join(command[1].split())}
    history = folder / "history.json"
    if history.is_file():
        stages = [stage for stage in json.loads(history.read_text(encoding="utf-8")) if stage]
        return found | {"steps": sum(map(len, stages)), "seconds": sum(stage[-1]["seconds"] for stage in stages)}
    steps, time = _STEPS.search(text), _TIME.search(text)
    return found | {
        "steps": None if steps is None else int(steps[1].replace(",", "")),
        "seconds": None if time is None else float(time[1].replace(",", "").rstrip(".")) * _SECONDS[time[2]],
    }
