"""Sentence pairs on the results page: rows of `benchmarks/results/pairs_*.json`, of `benchmarks/quality/pairs.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lateint_eval.formats.records import Json

_COLUMNS = ("set", "row", "split", "n", "measures with 95 % intervals", "trained")
Pairs = Sequence[Json]


def stsb_row(rows: Pairs, name: str) -> Json | None:
    """A row on STS-B: of the test split, or else of the development split; None if there is none of that name."""
    found = {row["split"]: row for row in rows if row["set"] == "stsb" and row["row"] == name}
    return found.get("test", found.get("dev"))


def spearman(row: Json | None) -> float | None:
    """Spearman's correlation of a row."""
    value: float | None = None if row is None else row["measures"]["Spearman"]["value"]
    return value


def training_of(row: Json) -> Json:
    """Steps and seconds over all stages, as a result says them."""
    known = row.get("budget")
    return {} if known is None else {"steps": sum(known["steps"]), "seconds": float(sum(known["seconds"]))}


def table(rows: Pairs, budget: Mapping[int, str]) -> list[str]:
    """All rows; `budget` says by place what each was trained for."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    for place, row in enumerate(rows):
        cells = [row["set"], row["row"], row["split"], f"{row['n']:,}", _measures(row["measures"]), budget.get(place, "")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _measures(measures: Mapping[str, Mapping[str, float | None]]) -> str:
    return ", ".join(
        f"{name} {_number(m['value'])} [{_number(m['low'])}, {_number(m['high'])}]" for name, m in measures.items()
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
