"""The table of all points on one set, with the values that the page's script sorts by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from lateint_eval.formats.records import Json
from lateint_eval.studies.report.facts import BYTES, MILLISECONDS, front, inside, number, spots
from lateint_eval.studies.report.words import NONE, byte_count, escaped, interval, milliseconds, p_value, shown

_FRONTS = {"bytes": BYTES, "ms": MILLISECONDS}


@dataclass(frozen=True, slots=True)
class Cell:
    """The HTML of a cell and its value for sorting; None is sorted last."""

    shown: str
    value: float | str | None

    def html(self) -> str:
        """Return the cell as HTML."""
        value = "" if self.value is None else f"{self.value!r}" if isinstance(self.value, float) else escaped(self.value)
        return f'<td data-value="{value}">{self.shown}</td>'


def table(results: Json, data: str) -> str:
    """Return the table of all points on one set; the first stage is in the footer, which is not sorted."""
    fronts = {name: {spot.at for spot in front(spots(results, data, cost))} for name, cost in _FRONTS.items()}
    rows = [
        f'<tr><th scope="row" data-value="{escaped(point["label"])}"><a href="#point-{at}">{escaped(point["label"])}</a></th>'
        f"{''.join(cell.html() for cell in _cells(results, data, at, fronts))}</tr>"
        for at, point in enumerate(results["points"])
    ]
    caption = f"<caption>All points on {escaped(data)}. Click a column's name to sort by it.</caption>"
    heads = "".join(_head(name, order) for name, order in _columns(results))
    body = "\n".join(rows) or f'<tr><th scope="row" colspan="{len(list(_columns(results)))}">no points</th></tr>'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="All points on {escaped(data)}"><table class="points">'
        f"{caption}\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n</tbody>\n{_stage(results, data)}</table></div>"
    )


def _columns(results: Json) -> Iterator[tuple[str, str]]:
    """Yield the names of the columns, and the order of the first click on each."""
    yield "point", "text"
    yield from ((measure, "descending") for measure in results["measures"])
    for measure in results["measures"]:
        yield f"{measure} − baseline", "descending"
        yield "p (Holm)", "ascending"
    yield from ((name, "ascending") for name in ("bytes a document", "ms p50", "ms p95", "fetch ms", "decode ms", "compute ms"))
    yield "on the front", "descending"


def _head(name: str, order: str) -> str:
    return f'<th scope="col" data-order="{order}"><button type="button">{escaped(name)}</button></th>'


def _cells(results: Json, data: str, at: int, fronts: Mapping[str, Collection[int]]) -> Iterator[Cell]:
    point = results["points"][at]
    found = inside(point, "results", data)
    for measure in results["measures"]:
        yield _quality(inside(found, "measures", measure))
    for measure in results["measures"]:
        against = inside(found, "against_baseline", measure)
        if point["id"] == results["baseline"]:
            yield from (Cell("baseline", None), Cell(NONE, None))
        else:
            p_holm = number(against, "p_holm")
            yield _with_interval(number(against, "difference"), interval(against, "+.3f"), "+.4f")
            yield Cell(p_value(p_holm), p_holm)
    size = number(found, "bytes_per_document")
    yield Cell(byte_count(size), size)
    timing = inside(point, "timing", data)
    for path in (("total_ms", "p50"), ("total_ms", "p95"), ("fetch_ms", "p50"), ("decode_ms", "p50"), ("compute_ms", "p50")):
        time = number(timing, *path)
        yield Cell(milliseconds(time), time)
    on = [name for name, members in fronts.items() if at in members]
    yield Cell(", ".join(on) or NONE, float(len(on)))


def _quality(found: object) -> Cell:
    return _with_interval(number(found, "mean"), interval(found, ".3f"), ".4f")


def _with_interval(value: float | None, bounds: str, style: str) -> Cell:
    return Cell(f"{shown(value, style)} <small>{bounds}</small>" if bounds else shown(value, style), value)


def _stage(results: Json, data: str) -> str:
    """Return the footer: the quality of the first stage."""
    stage = inside(results, "data", data, "first_stage")
    found = "".join(_quality(inside(stage, measure)).html() for measure in results["measures"])
    rest = len(list(_columns(results))) - 1 - len(results["measures"])
    return f'<tfoot><tr><th scope="row">first stage</th>{found}<td colspan="{rest}"></td></tr></tfoot>'
