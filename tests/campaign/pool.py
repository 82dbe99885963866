"""Run cases of damage in workers, and replace each worker that a signal kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.campaign.damage import Case
from tests.support.paths import ROOT

WORKERS = 2
AT_ONCE = 50


def child_environment(**more: str) -> dict[str, str]:
    """The environment of a child process: the project can be imported, and no kill point is set."""
    folders = (ROOT, ROOT / "store", ROOT / "eval")
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "LATEINT_KILL_AT": ""} | more


def run_cases(root: Path, cases: Sequence[Case]) -> dict[int, dict[str, Any]]:
    """Run all cases and return the answers by number. `root` holds the stores; each worker uses a copy beside it."""
    shares = [cases[first::WORKERS] for first in range(WORKERS)]
    folders = [root.with_name(f"{root.name}-{number}") for number in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as threads:
        found = threads.map(_run_share, [root] * WORKERS, folders, shares)
        return {answer["number"]: answer for answers in found for answer in answers}


def _run_share(root: Path, folder: Path, share: Sequence[Case]) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    while len(answers) < len(share):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(root, folder)
        worker = subprocess.Popen(
            [sys.executable, "-m", "tests.campaign.worker", str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=child_environment(),
        )  # fmt: skip
        with worker:
            _feed(worker, share, answers)
        if len(answers) < len(share):
            number = share[len(answers)].number
            answers.append({"number": number, "outcome": "death", "detail": death(worker.returncode)})
    shutil.rmtree(folder, ignore_errors=True)
    return answers


def _feed(worker: subprocess.Popen[str], share: Sequence[Case], answers: list[dict[str, Any]]) -> None:
    """Send cases and collect answers until all are answered or the worker is dead."""
    assert worker.stdin is not None and worker.stdout is not None
    while len(answers) < len(share):
        batch = share[len(answers) : len(answers) + AT_ONCE]
        try:
            worker.stdin.write("".join(json.dumps(case.to_json()) + "\n" for case in batch))
            worker.stdin.flush()
        except BrokenPipeError:
            return
        for _ in batch:
            line = worker.stdout.readline()
            if not line:
                return
            answers.append(json.loads(line))
    worker.stdin.close()


def death(code: int) -> str:
    """Describe how a process ended."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
