"""The sections whose cases run in forks: their modules by name, and how the command line runs one of them."""

from __future__ import annotations

import importlib
import os
from math import ceil
from typing import Any

from tests.campaign.cases import Draws, Figures

SECTIONS = {
    "replace": "replace:run",
    "writers": "writers:run",
    "readers": "readers:run",
    "continue": "continuing:run",
    "facts": "facts:run",
    "shapes": "shapes:run",
    "bounds": "shapes:run_checked",
    "files": "files:run",
    "fuzz": "fuzz:run",
    "links": "links:run",
    "terminal": "terminal:run",
    "misuse": "misuse:run",
}
"""By name, the module and function of a section. A section of another kind of case is one file and one line here."""


def run_numbered(name: str, seed: int, scale: float, case: int | None) -> dict[str, Any]:
    """Run a section, or its case of this number; returns its figures."""
    figures, _ = run_section(name, Draws(seed, case), scale)
    return figures.to_json()


def run_section(name: str, draws: Draws, scale: float) -> tuple[Figures, int]:
    """Run a section at a scale. Returns: its figures, and its number of cases at full scale."""
    quiet()
    module_name, _, function = SECTIONS[name].partition(":")
    module = importlib.import_module(f"tests.campaign.{module_name}")
    return getattr(module, function)(draws, ceil(module.CASES * scale)), module.CASES


def quiet() -> None:
    """One torch thread, no network, no progress bars of libraries: forks inherit all of it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from transformers.utils import logging

    torch.set_num_threads(1)
    logging.disable_progress_bar()
