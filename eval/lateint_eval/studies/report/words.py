"""Formatting of numbers and names in the report, and its summary."""

from __future__ import annotations

import html
from collections.abc import Sequence

from lateint_eval.formats.records import Json
from lateint_eval.studies.report.facts import BYTES, MILLISECONDS, Spot, budgets, front, number, spots

NONE = "–"
Budgets = list[tuple[float, Spot]]


def escaped(text: object) -> str:
    """Escape text for HTML, between tags or inside a quoted attribute."""
    return html.escape(str(text), quote=True)


def shown(value: float | None, style: str) -> str:
    """Format a number in this style with a true minus sign; None gives a dash.

    >>> shown(-0.25, "+.2f")
    '−0.25'
    """
    return NONE if value is None else format(value, style).replace("-", "−")


def byte_count(value: float | None) -> str:
    """Format bytes, without decimals from 100."""
    return shown(value, ",.0f" if value is None or value >= 100 or value == int(value) else ",.1f")


def milliseconds(value: float | None) -> str:
    """Format milliseconds with about three digits."""
    return shown(value, ",.0f" if value is None or value >= 100 else ".1f" if value >= 10 else ".2f")


def p_value(value: float | None) -> str:
    """Format a p-value; small ones as `< 0.0001`, never as 0."""
    return "< 0.0001" if value is not None and value < 0.0001 else shown(value, ".4f")


def interval(found: object, style: str) -> str:
    """Format the 95 % interval of a mean or a difference; empty if a bound is missing."""
    low, high = number(found, "low"), number(found, "high")
    return "" if low is None or high is None else f"[{shown(low, style)}, {shown(high, style)}]"


def counted(count: int | None, what: str) -> str:
    """Format a count with its noun: `counted(n, "quer(y|ies)")` gives "1 query" or "2 queries"."""
    stem, _, ends = what.partition("(")
    one, _, many = ends.rstrip(")").partition("|")
    return NONE if count is None else f"{count:,} {stem}{one if count == 1 else many}"


def summary(results: Json) -> str:
    """Return a paragraph per set about the best point within each round budget."""
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
    """Return a sentence about the best point within each limit."""
    (limit, spot), *others = found
    parts = [f"With at most {limit} the best is {_named(spot)}"]
    parts += [f"with {_short(limit)} {_named(spot)}" for limit, spot in others]
    return (", ".join(parts[:-1]) + " and " if others else "") + parts[-1] + "."


def _short(limit: str) -> str:
    """Shorten a limit to its number and unit: 2,000 bytes, 5 ms."""
    return " ".join(limit.split()[:2])


def _named(spot: Spot) -> str:
    return f"<b>{escaped(spot.label)}</b> ({shown(spot.quality, '.3f')})"
