"""Numbers and names as the report prints them, and its opening words."""

from __future__ import annotations

import html
from collections.abc import Sequence

from lateint_eval.formats.records import Json
from lateint_eval.studies.report.facts import BYTES, MILLISECONDS, Spot, budgets, front, number, spots

NONE = "–"
Budgets = list[tuple[float, Spot]]


def escaped(text: object) -> str:
    """Text that may stand in HTML, between tags or inside a quoted attribute."""
    return html.escape(str(text), quote=True)


def shown(value: float | None, style: str) -> str:
    """A number in this style, a dash where there is none, and a true minus sign.

    >>> shown(-0.25, "+.2f")
    '−0.25'
    """
    return NONE if value is None else format(value, style).replace("-", "−")


def byte_count(value: float | None) -> str:
    """Bytes, whole from a hundred on."""
    return shown(value, ",.0f" if value is None or value >= 100 or value == int(value) else ",.1f")


def milliseconds(value: float | None) -> str:
    """Milliseconds, with about three digits."""
    return shown(value, ",.0f" if value is None or value >= 100 else ".1f" if value >= 10 else ".2f")


def p_value(value: float | None) -> str:
    """A p-value, never a bare 0."""
    return "< 0.0001" if value is not None and value < 0.0001 else shown(value, ".4f")


def interval(found: object, style: str) -> str:
    """The 95 % interval of a mean or a difference; empty where a bound is missing."""
    low, high = number(found, "low"), number(found, "high")
    return "" if low is None or high is None else f"[{shown(low, style)}, {shown(high, style)}]"


def counted(count: int | None, what: str) -> str:
    """A count with its noun: 1 query, 2 queries are given as `counted(n, "quer(y|ies)")`."""
    stem, _, ends = what.partition("(")
    one, _, many = ends.rstrip(")").partition("|")
    return NONE if count is None else f"{count:,} {stem}{one if count == 1 else many}"


def summary(results: Json) -> str:
    """What the study says, a paragraph a set: the best point within each round budget."""
    measure = escaped(results["measures"][0])
    paragraphs = []
    for data in results["data"]:
        sizes = [(f"{byte_count(limit)} bytes a document", spot) for limit, spot in _limits(results, data, BYTES)]
        times = [(f"{shown(limit, ',g')} ms a query", spot) for limit, spot in _limits(results, data, MILLISECONDS)]
        said = " ".join(map(_within, filter(None, (sizes, times)))) or "No point has both a quality and a cost."
        stage = number(results["data"][data], "first_stage", results["measures"][0], "mean")
        said += f" The first stage alone has {shown(stage, '.3f')}." if stage is not None else ""
        paragraphs.append(f"<p><strong>{escaped(data)}</strong>, {measure} in brackets. {said}</p>")
    return "\n".join(paragraphs) or "<p>The study holds no data.</p>"


def _limits(results: Json, data: str, cost: tuple[str, ...]) -> Budgets:
    return budgets(front(spots(results, data, cost)))


def _within(found: Sequence[tuple[str, Spot]]) -> str:
    """One sentence: which point is best within which limit."""
    (limit, spot), *others = found
    parts = [f"With at most {limit} the best is {_named(spot)}"]
    parts += [f"with {_short(limit)} {_named(spot)}" for limit, spot in others]
    return (", ".join(parts[:-1]) + " and " if others else "") + parts[-1] + "."


def _short(limit: str) -> str:
    """A limit without what it is counted over: 2,000 bytes, 5 ms."""
    return " ".join(limit.split()[:2])


def _named(spot: Spot) -> str:
    return f"<b>{escaped(spot.label)}</b> ({shown(spot.quality, '.3f')})"
