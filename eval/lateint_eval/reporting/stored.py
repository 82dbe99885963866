"""Stored results: one JSON file per checkpoint. A set that has a result is not run again on the same weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lateint_eval.formats.output import replacing
from lateint_eval.formats.records import Json
from lateint_eval.reporting.reference import Reference
from lateint_eval.reporting.sets import MAIN, EvaluationTask

HEADING = "# Runs on test sets\n\n"
Result = Json  # one checkpoint on all its sets


@dataclass(frozen=True, slots=True)
class Results:
    """A folder of results, and the page that lists all runs on test sets."""

    folder: Path
    test_runs: Path

    def all(self) -> list[Result]:
        """Return all stored results, oldest first."""
        found = [json.loads(file.read_text(encoding="utf-8")) for file in self.folder.glob("*.json")]
        return sorted(found, key=lambda result: (result["date"], result["checkpoint"], result["digest"]))

    def find(self, facts: Json) -> tuple[Path, Result]:
        """Return the file of a checkpoint and its stored result; a checkpoint is identified by weights and settings.

        Settings that a stored result does not contain count as equal, because older results have fewer settings.
        """
        stem, file, number = facts["digest"][:16], self.folder / f"{facts['digest'][:16]}.json", 1
        while file.is_file():
            result = json.loads(file.read_text(encoding="utf-8"))
            if all(facts["settings"].get(key, value) == value for key, value in result.get("settings", {}).items()):
                return file, result
            number += 1
            file = self.folder / f"{stem}-{number}.json"
        return file, {"tasks": []}

    def bring_up_to_date(
        self,
        facts: Json,
        sets: Sequence[EvaluationTask],
        run: Callable[[EvaluationTask], Result],
        about: Json,
    ) -> Result:
        """Run a checkpoint on the sets that its stored result lacks, and store the result after each set.

        Args: `run` evaluates one set; `about` describes the run (`date`, machine, ...) and is stored with every set, and with
        the whole result if that is new.
        """
        file, result = self.find(facts)
        result = ({} if result["tasks"] else dict(about)) | _with_facts(result, facts)
        done = {task["set"] for task in result["tasks"]}
        for task in sets:
            if task.name not in done:
                result["tasks"] = [*result["tasks"], run(task) | {"run": dict(about)}]
                self.save(file, result)
                if task.test:
                    self._write_down(result, about["date"])
        self.save(file, result)
        return result

    def refresh(self, facts: Json) -> None:
        """Update the facts of a checkpoint in its stored result, if it has one; nothing is evaluated."""
        file, result = self.find(facts)
        if result["tasks"]:
            self.save(file, _with_facts(result, facts))

    def twin_speed(self, result: Result) -> Result | None:
        """Return the timing of another checkpoint with the same method and settings, or None; its digest is added as `of`.

        Times depend on shapes, not on weights, so a retrained checkpoint need not be timed again.
        """
        for other in reversed(self.all()):
            alike = all(key in result and other.get(key) == result[key] for key in ("method", "settings"))
            if alike and "speed" in other and other["digest"] != result["digest"]:
                twin: Result = {"of": other["digest"]} | other["speed"]
                return twin
        return None

    def save(self, file: Path, result: Result) -> None:
        """Write one result, completely or not at all."""
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as write:
            write(json.dumps(result, indent=2) + "\n")

    def write_down_references(self, found: Sequence[Reference]) -> None:
        """List the runs of one published model on test sets; `found`: all its references of one day on test sets."""
        self._list_run(lambda text: with_reference_run(text, found))

    def _write_down(self, result: Result, date: str) -> None:
        self._list_run(lambda text: with_test_run(text, result, date))

    def _list_run(self, added: Callable[[str], str]) -> None:
        text = self.test_runs.read_text(encoding="utf-8") if self.test_runs.is_file() else HEADING
        with replacing(self.test_runs) as write:
            write(added(text))


def _with_facts(result: Result, facts: Json) -> Result:
    """Return the result updated with these facts; a known part of the training is not replaced by None."""
    known = result.get("training", {})
    merged = {key: known.get(key) if value is None else value for key, value in facts["training"].items()}
    return result | dict(facts) | {"training": merged}


def with_test_run(text: str, result: Result, date: str) -> str:
    """Return the list of test runs with this checkpoint's line of that day at the end, in place of its earlier line."""
    ran = [task for task in result["tasks"] if task["test"] and task.get("run", result)["date"] == date]
    means = {task["set"]: task["systems"]["cached"][MAIN] for task in ran}
    return _with_run(text, f"- {date}: `make report` ran `{result['checkpoint']}` [{result['digest'][:12]}]", means, "cached")


def with_reference_run(text: str, found: Sequence[Reference]) -> str:
    """Return the list of test runs with the line of a published model of one day at the end, in place of its earlier line."""
    first = found[0]
    (system,) = first.scores
    means = {each.set: each.mean(system, MAIN) for each in found}
    start = f"- {first.date}: `make report` ran the reference `{first.base}` [{first.base_digest[:12]}]"
    return _with_run(text, start, means, "as published")


def _with_run(text: str, start: str, means: Mapping[str, float], how: str) -> str:
    start += " on the test sets: "
    line = start + ", ".join(f"{name} {mean:.4f}" for name, mean in means.items()) + f" ({MAIN}, {how})."
    kept = [known for known in text.splitlines() if not known.startswith(start)]
    return "\n".join([*kept, line]) + "\n"
