"""`make report`: evaluate every shipped checkpoint that has no stored result, then render docs/results.md.

Test sets are run once per checkpoint: a digest that has a stored result is never run again. `--dev` evaluates a folder
on the development sets alone, stores nothing, and may be run as often as one likes.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

import machine

import lateint
from lateint.checkpoint import CHECKPOINTS
from lateint.fingerprint import digest_tensors
from lateint_eval.datasets.folder import data_folder
from lateint_eval.report import demo_task, evaluate_task, render, tasks

ROOT = Path(__file__).parent.parent
STORED = machine.RESULTS / "report"


def evaluate(name: str, *, dev: bool) -> dict[str, Any]:
    """One checkpoint on the development sets, or on all."""
    model = lateint.load_model(name)
    wanted = [*tasks(data_folder()), demo_task("dev"), demo_task("test")]
    found = []
    for task in wanted:
        if dev and task.test:
            continue
        found.append(evaluate_task(model, task))
        systems = found[-1]["systems"]
        scores = "  ".join(f"{s} {systems[s]['nDCG@10']:.4f}" for s in systems)
        print(
            f"{task.name:<18} n={found[-1]['queries']:<5} {scores}  minus bm25 {systems['cached']['minus_bm25']}",
            flush=True,
        )
    return {"checkpoint": name, "digest": digest_tensors(model.state_dict()), "tasks": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", metavar="CHECKPOINT", help="evaluate this checkpoint on development sets only")
    options = parser.parse_args()
    if options.dev:
        evaluate(options.dev, dev=True)
        return
    for folder in sorted(CHECKPOINTS.iterdir()):
        digest = digest_tensors(lateint.load_model(folder.name).state_dict())
        if (STORED / f"{digest[:16]}.json").exists():
            continue
        result = evaluate(folder.name, dev=False)
        machine.write(
            f"report/{digest[:16]}", result | {"command": "make report", "date": datetime.date.today().isoformat()}
        )
        _log(result)
    stored = [json.loads(file.read_text()) for file in STORED.glob("*.json")]
    (ROOT / "docs" / "results.md").write_text(
        render(sorted(stored, key=lambda r: (r["date"], r["digest"]))), encoding="utf-8"
    )


def _log(result: dict[str, Any]) -> None:
    """Every run on a test set is written down."""
    tests = ", ".join(f"{t['set']} {t['systems']['cached']['nDCG@10']:.4f}" for t in result["tasks"] if t["test"])
    name, today = f"`{result['checkpoint']}` [{result['digest'][:12]}]", datetime.date.today().isoformat()
    line = f"- {today}: `make report` ran {name} on the test sets: {tests} (nDCG@10, cached).\n"
    log = ROOT / "docs" / "log.md"
    text = log.read_text(encoding="utf-8") if log.exists() else "# Log\n"
    heading = "\n## Runs on test sets\n\n"
    if heading not in text:
        text += heading
    log.write_text(text + line, encoding="utf-8")


if __name__ == "__main__":
    main()
