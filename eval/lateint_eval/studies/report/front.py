"""Draw points, their Pareto front and their names on axes of quality against cost."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from lateint_eval.studies.report.axes import at_cost
from lateint_eval.studies.report.facts import Spot, front
from lateint_eval.studies.report.labels import FONT_SIZE, LINE_HEIGHT, ON_NAME, Box, Name, Placed, broken, harm, place, width
from lateint_eval.studies.report.svg import BLUE, GREY, INK, RED, TIP
from lateint_eval.studies.report.words import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 12  # with more points, only those on the front are named
_MARKER, _BAR = 6, 2  # half widths in pixels


def draw_points(axes: Axes, points: Sequence[Spot], reference: int | None) -> None:
    """Draw the front as a step line, and every point with its 95 % interval above it; the reference is a red diamond."""
    best = front(points)
    costs = [at_cost(axes, spot.cost) for spot in best] + [axes.get_xlim()[1]]
    qualities = [spot.quality for spot in best] + [best[-1].quality]
    axes.step(costs, qualities, where="post", color=BLUE, alpha=0.55, linewidth=1.6, zorder=1)
    for number, spot in enumerate(points):
        x = at_cost(axes, spot.cost)
        color = RED if spot.at == reference else BLUE if spot in best else GREY
        if spot.low is not None and spot.high is not None:
            axes.plot([x, x], [spot.low, spot.high], color=color, alpha=0.7, linewidth=1.2, zorder=2)
        marker, size = ("D", 6) if spot.at == reference else ("o", 6.5)
        filled = color if spot in best else "none"
        axes.plot(
            x, spot.quality, marker, markersize=size, zorder=3, gid=f"{TIP}{number}",
            markeredgecolor=color, markeredgewidth=1.4, markerfacecolor=filled,
        )  # fmt: skip


def draw_stage(axes: Axes, points: Sequence[Spot], stage: float | None) -> list[Box]:
    """Draw the first stage as a dashed line, named at the emptier end. Returns: the boxes of the line and its name."""
    frame = frame_of(axes)
    if stage is None:
        return []
    axes.axhline(stage, color=INK, alpha=0.6, linewidth=1, linestyle=(0, (5, 4)), zorder=1)
    y = _pixel(axes, axes.get_xlim()[0], stage)[1]
    text = f"first stage {shown(stage, '.3f')}"
    wide, crossed = width(text), in_the_way(axes, points)
    ends = [(frame.left + 4, "left"), (frame.right - wide - 4, "right")]
    boxes = [(Box(x, low, x + wide, low + LINE_HEIGHT), side) for x, side in ends for low in (y + 2, y - 2 - LINE_HEIGHT)]
    box, side = min(boxes, key=lambda each: harm([each[0]], crossed, frame))
    _write(axes, text, box.left if side == "left" else box.right, box.bottom + LINE_HEIGHT / 2, side)
    return [Box(frame.left, y - 1, frame.right, y + 1), box._replace(weight=ON_NAME)]


def draw_names(axes: Axes, points: Sequence[Spot], obstacles: Sequence[Box]) -> int:
    """Draw the names of the front and, if there are few points, of others that fit. Returns: the number of names."""
    best = front(points)
    named = points if len(points) <= _MOST_NAMED else best
    names = [Name(broken(spot.label), *_pixel(axes, at_cost(axes, spot.cost), spot.quality), spot in best) for spot in named]
    placed = place(names, [*obstacles, *in_the_way(axes, points)], frame_of(axes))
    for each in placed:
        _draw_name(axes, each)
    return len(placed)


def frame_of(axes: Axes) -> Box:
    """Return the box inside the axes, in pixels."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    return Box(*_pixel(axes, left, bottom), *_pixel(axes, right, top))


def in_the_way(axes: Axes, points: Sequence[Spot]) -> list[Box]:
    """Return the boxes of the points, their intervals and the step line; names may cross the lines at a low cost."""
    found = []
    for spot in points:
        x, y = _pixel(axes, at_cost(axes, spot.cost), spot.quality)
        found.append(Box(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER, 6.0))
        if spot.low is not None and spot.high is not None:
            low, high = (_pixel(axes, at_cost(axes, spot.cost), end)[1] for end in (spot.low, spot.high))
            found.append(Box(x - _BAR, low, x + _BAR, high, 2.0))
    corners = [_pixel(axes, at_cost(axes, spot.cost), spot.quality) for spot in front(points)]
    corners.append((frame_of(axes).right, corners[-1][1]))
    for (x, y), (next_x, next_y) in pairwise(corners):
        found += [Box(x, y - _BAR, next_x, y + _BAR), Box(next_x - _BAR, y, next_x + _BAR, next_y)]
    return found


def _draw_name(axes: Axes, placed: Placed) -> None:
    box, name = placed.box, placed.name
    x, y = placed.end()
    side = {1.0: "left", -1.0: "right"}.get(placed.across, "center")
    for line, text in enumerate(name.lines):
        _write(axes, text, x, box.top - (line + 0.5) * LINE_HEIGHT, side)
    if placed.far:
        axes.plot([name.x, x], [name.y, y], color=INK, alpha=0.35, linewidth=0.7, transform=None, zorder=0)


def _write(axes: Axes, text: str, x: float, y: float, side: str) -> None:
    """Write a line of text to the left or right of a pixel, or centred on it."""
    axes.text(x, y, text, fontsize=FONT_SIZE, ha=side, va="center_baseline", transform=None)


def _pixel(axes: Axes, x: float, y: float) -> tuple[float, float]:
    across, up = axes.transData.transform((x, y))
    return float(across), float(up)
