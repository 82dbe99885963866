"""The plots of a study's report: quality against cost, quality query by query, and time per phase."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lateint_eval.studies.report.axes import linear_limits, log_scale
from lateint_eval.studies.report.facts import Spot, front
from lateint_eval.studies.report.front import draw_names, draw_points, draw_stage
from lateint_eval.studies.report.labels import FONT_SIZE
from lateint_eval.studies.report.svg import BLUE, GREEN, GREY, INK, RED, TIP, drawing
from lateint_eval.studies.report.words import milliseconds, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH, _HEIGHT = 440, 360  # small, so that text stays readable on a phone
PHASE_COLORS = {"fetch": BLUE, "decode": GREEN, "compute": RED, "rest": GREY}
_ROW = 32  # pixels for a bar with its name above
_BUBBLE = 420.0  # area of the largest bubble


@dataclass(frozen=True, slots=True)
class Costs:
    """The cost axis of a plot."""

    name: str  # name of the drawing, unique in the page
    label: str  # label of the axis
    unit: str  # bytes or ms


def quality_plot(points: Sequence[Spot], costs: Costs, measure: str, stage: float | None, reference: int | None) -> str:
    """Plot quality against cost, with the front as a step line and the names of its points.

    Args: `stage` is the quality of the first stage; `reference` is the index of the reference in the study.
    Returns: SVG; empty without points. Raises: MissingExtra without matplotlib, as all functions of this module.
    """
    if not points:
        return ""

    def draw(figure: Figure) -> list[str]:
        axes = _axes(figure, measure)
        log_scale(axes, [spot.cost for spot in points], costs.label, costs.unit == "bytes")
        ends = [end for spot in points for end in (spot.quality, spot.low, spot.high, stage) if end is not None]
        axes.set_ylim(*linear_limits(ends))
        draw_points(axes, points, reference)
        draw_names(axes, points, draw_stage(axes, points, stage))
        return [f"{spot.label}: {measure} {shown(spot.quality, '.4f')}, {spot.cost:,.4g} {costs.unit}" for spot in points]

    height = _HEIGHT + 20 * max(0, len(front(points)) - 7)
    return drawing(draw, (_WIDTH, height), costs.name, f"{measure} against {costs.label}")


def query_plot(pairs: Sequence[tuple[float, float]], names: tuple[str, str], measure: str, name: str) -> str:
    """Plot every query's values under two points; queries with equal values share a bubble. Returns: SVG.

    Args: `pairs` holds (value under the reference, value under the other point); `names` are the labels of the two.
    """
    counts = Counter((round(x, 2), round(y, 2)) for x, y in pairs)
    values = [0.0, 1.0, *(value for pair in pairs for value in pair)]
    limits = min(values) - 0.05, max(values) + 0.05

    def draw(figure: Figure) -> list[str]:
        reference, other = (textwrap.shorten(each, 50, placeholder=" …") for each in names)
        axes = _axes(figure, f"{measure} of {other}")
        axes.plot(limits, limits, color=INK, alpha=0.5, linewidth=0.8)
        scale = min(18.0, _BUBBLE / max(counts.values()))
        sizes = [max(10.0, scale * count) for count in counts.values()]
        axes.scatter([x for x, _ in counts], [y for _, y in counts], s=sizes, color=BLUE, alpha=0.6, linewidths=0)
        axes.set(xlim=limits, ylim=limits, xlabel=f"{measure} of {reference}")
        return []

    return drawing(draw, (_WIDTH, 420), name, f"{measure} of {names[1]} against {names[0]}, query by query")


def time_plot(rows: Sequence[tuple[str, Mapping[str, float]]], name: str) -> str:
    """Draw stacked bars of milliseconds, one bar a point.

    Args: `rows` holds labels and the times of all phases in `PHASE_COLORS`.
    Returns: SVG; empty without rows.
    """
    if not rows:
        return ""
    longest = max(sum(phases.values()) for _, phases in rows) or 1.0

    def draw(figure: Figure) -> list[str]:
        axes = _axes(figure, "")
        tips: list[str] = []
        for row, (label, phases) in enumerate(rows):
            start = 0.0
            for phase, color in PHASE_COLORS.items():
                (bar,) = axes.barh(row, phases[phase], left=start, height=0.34, color=color)
                bar.set_gid(f"{TIP}{len(tips)}")
                tips.append(f"{label}: {phase} {milliseconds(phases[phase])} ms")
                start += phases[phase]
            axes.text(0, row - 0.24, textwrap.shorten(label, 64, placeholder=" …"), fontsize=FONT_SIZE, va="bottom")
            axes.text(start + longest * 0.012, row, milliseconds(start), fontsize=FONT_SIZE, va="center")
        axes.set(xlim=(0, longest * 1.12), ylim=(len(rows) - 0.6, -0.8), yticks=[], xlabel="milliseconds a query, medians")
        axes.spines["left"].set_visible(False)
        return tips

    return drawing(draw, (_WIDTH, 60 + _ROW * len(rows)), name, "milliseconds a query: " + ", ".join(PHASE_COLORS))


def _axes(figure: Figure, title: str) -> Axes:
    """Add axes with margins in pixels; the name of the y axis is written above them, horizontally."""
    left, right, top, bottom = (46, 14, 28, 44) if title else (10, 14, 4, 44)
    wide, high = figure.get_size_inches() * figure.dpi
    inner = wide - left - right
    axes = figure.add_axes((left / wide, bottom / high, inner / wide, (high - top - bottom) / high))
    axes.set_title(title, x=(8 - left) / inner)
    axes.tick_params(length=3, width=0.6)
    return axes
