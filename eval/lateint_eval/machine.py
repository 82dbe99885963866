"""Origin of a result: commit, machine and versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lateint import __version__
from lateint_eval.formats.records import Json

_HERE = Path(__file__).parent


def describe() -> Json:
    """Return the commit of lateint's checkout (empty if there is none), processor, cores and library versions."""
    return {
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("status", "--porcelain", "-uno") else ""),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "versions": {"lateint": __version__}
        | {name: _version(name) for name in ("torch", "transformers", "numpy", "lmdb", "zstandard", "sentence-transformers")},
    }


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(_HERE), *arguments], capture_output=True, text=True, check=False).stdout.strip()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        if cpuinfo.exists()
        else []
    )
    return names[0] if names else platform.machine()
