"""Sentence pairs on the results page: rows of `benchmarks/results/pairs_*.json`, from `benchmarks/quality/pairs.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lateint_eval.formats.records import Json

_COLUMNS = ("set", "row", "split", "n", "measures with 95 % intervals", "trained")
Pairs = Sequence[Json]


def stsb_row(rows: Pairs, name: str) -> Json | None:
    """Return a row on STS-B by name: of the test split, else of the development split, else None."""
    found = {row["split"]: row for row in rows if row["set"] == "stsb" and row["row"] == name}
    return found.get("test", found.get("dev"))


def spearman(row: Json | None) -> float | None:
    """Return Spearman's correlation of a row."""
    value: float | None = None if row is None else row["measures"]["Spearman"]["value"]
    return value


def training_of(row: Json) -> Json:
    """Return steps and seconds over all stages, as in `training` of a result."""
    known = row.get("budget")
    return {} if known is None else {"steps": sum(known["steps"]), "seconds": float(sum(known["seconds"]))}


def table(rows: Pairs, budget: Mapping[int, str]) -> list[str]:
    """Format all rows; `budget` maps a row's index to its training budget."""
    lines = [f"| {' | '.join(_COLUMNS)} |", "|" + "---|" * len(_COLUMNS)]
    for index, row in enumerate(rows):
        cells = [row["set"], row["row"], row["split"], f"{row['n']:,}", _measures(row["measures"]), budget.get(index, "")]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _measures(measures: Mapping[str, Mapping[str, float | None]]) -> str:
    return ", ".join(
        f"{name} {_number(m['value'])} [{_number(m['low'])}, {_number(m['high'])}]" for name, m in measures.items()
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
