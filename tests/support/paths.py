"""Paths of the repository and the toy collection."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "toy"


def python_environment() -> dict[str, str]:
    """Environment variables for a Python process that imports the packages and the tests."""
    paths = [str(ROOT / part) for part in ("", "store", "eval")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
