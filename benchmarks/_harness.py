"""Where benchmarks keep their results, each with the commit and machine that it comes from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lateint_eval.machine import describe

__all__ = ["RESULTS", "describe", "write"]

RESULTS = Path(__file__).parent / "results"


def write(name: str, result: dict[str, Any]) -> Path:
    """Store a result beside the others."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(describe() | result, indent=2) + "\n", encoding="utf-8")
    return path
