"""Summarise the outcomes of a section: counts, whether it passed, the failed cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.campaign.damage import Case, hit_documents

GOOD = ("right", "error")
BAD = ("missing", "untyped", "wrong", "death")
SHOWN = 10


def summarise(root: Path, cases: Sequence[Case], answers: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Count outcomes; for damaged documents, also how many errors gave the id and how many only the ordinal."""
    outcomes = Counter(answers[case.number]["outcome"] for case in cases)
    errors = Counter(name for answer in answers.values() for name in answer.get("errors", ()))
    failures = [
        {"case": case.number, "place": case.to_json()[1:]} | answers[case.number]
        for case in cases
        if answers[case.number]["outcome"] in BAD
    ]
    named = Counter(
        ("payload" if payload else "head") + (" named" if doc_id in answers[number]["named"] else " not named")
        for number, (doc_id, payload) in hit_documents(root, cases).items()
        if answers[number]["outcome"] == "error" and doc_id in answers[number]["failed"]
    )
    return {
        "cases": len(cases),
        "outcomes": {name: outcomes[name] for name in (*GOOD, *BAD)},
        "errors": dict(sorted(errors.items())),
        "documents": dict(sorted(named.items())),
        "failures": failures[:SHOWN],
        "ok": not failures,
    }
