"""Placement of point names in a plot so that they do not overlap."""

from __future__ import annotations

import math
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LINE_LENGTH, MAX_LINES = 22, 3
FONT_SIZE, LINE_HEIGHT = 10, 12  # in pixels of the drawing
_DISTANCES = (7, 14, 24, 36, 50, 66, 84, 104)
_SIDES = [(x, y) for x in (1, -1, 0, 0.5, -0.5) for y in (0, 1, -1, 0.5, -0.5) if max(abs(x), abs(y)) == 1]
_FAR, _STEP = 20, 4  # distance from which a thin line connects name and point; length of the line's boxes
_ROUNDING = 1e-6  # of sums of harm
FREE = 1.0  # harm below this counts as none
_PER_PIXEL = 0.5  # cost of a pixel between a point and its name
_PASSES = 4  # over the needed names; each is moved while the others stay
ON_NAME, _ON_LINE = 8.0, 4.0  # cost of covering a square pixel of a name, or of the line to a name


class Box(NamedTuple):
    """A rectangle in pixels, y upwards; `weight` is the cost of covering one of its square pixels."""

    left: float
    bottom: float
    right: float
    top: float
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Name:
    """A name to be placed: its lines, the pixel of its point, and whether it is required."""

    lines: tuple[str, ...]
    x: float
    y: float
    needed: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A name with its box."""

    name: Name
    box: Box
    across: float  # 1: right of its point, -1: left of it, values between: above or below
    distance: float

    @property
    def far(self) -> bool:
        """Return True if a line must connect the name with its point."""
        return self.distance >= _FAR

    def end(self) -> tuple[float, float]:
        """Return the pixel where a line from the point meets the box."""
        x = {1.0: self.box.left, -1.0: self.box.right}.get(self.across, (self.box.left + self.box.right) / 2)
        return x, min(max(self.name.y, self.box.bottom), self.box.top)

    @property
    def outer(self) -> Box:
        """Return the box of the name with a pixel above and below."""
        return Box(self.box.left, self.box.bottom - 1, self.box.right, self.box.top + 1, ON_NAME)

    def boxes(self) -> list[Box]:
        """Return the box of the name, and small boxes along its line that do not cover its point."""
        found = [self.outer]
        if self.far:
            (x, y), (from_x, from_y) = self.end(), (self.name.x, self.name.y)
            length = math.hypot(x - from_x, y - from_y)
            shares = [at / length for at in range(3 * _STEP, int(length), _STEP)]
            middles = [(from_x + (x - from_x) * share, from_y + (y - from_y) * share) for share in shares]
            found += [Box(across - 2, up - 2, across + 2, up + 2, _ON_LINE) for across, up in middles]
        return found


def broken(label: str) -> tuple[str, ...]:
    """Wrap a label into at most three short lines; the rest is replaced by an ellipsis."""
    wrapped = textwrap.wrap(label, LINE_LENGTH, max_lines=MAX_LINES, placeholder=" …")
    return tuple(wrapped) or ("",)


def width(text: str) -> float:
    """Estimate the width of a text in pixels, for the widest of the usual fonts."""
    return FONT_SIZE * sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.6 for letter in text)


def place(names: Sequence[Name], obstacles: Sequence[Box], frame: Box) -> list[Placed]:
    """Place the needed names where they cover least, then the other names that fit without covering anything.

    Each needed name is moved while the others stay, in several passes. Cost: names x passes x 128 positions at most.
    """
    needed = [name for name in names if name.needed]
    found: list[Placed] = []
    for _ in range(_PASSES):
        for at, name in enumerate(needed):
            others = [box for each in found[:at] + found[at + 1 :] for box in each.boxes()]
            found[at : at + 1] = [_best(name, [*obstacles, *others], frame)[1]]
    for name in names:
        if not name.needed:
            worth, best = _best(name, [*obstacles, *(box for each in found for box in each.boxes())], frame)
            found += [best] if worth < FREE else []
    return found


def _best(name: Name, taken: Sequence[Box], frame: Box) -> tuple[float, Placed]:
    """Return the least harm and the position of a name with it; near positions are preferred."""
    worth, best = math.inf, None
    obstacles = _array(taken)
    for distance in _DISTANCES:
        if best is not None and worth + _PER_PIXEL * best.distance <= _PER_PIXEL * distance:
            break  # a position this far costs as much without any harm
        around = _around(name, distance)
        least = _costs([each.outer for each in around], obstacles, frame)
        for at, each in enumerate(around):
            limit = math.inf if best is None else worth + _PER_PIXEL * (best.distance - distance)
            if least[at] < limit + _ROUNDING and (found := harm(each.boxes(), obstacles, frame)) < limit:
                worth, best = found, each
    assert best is not None
    return worth, best


def _array(boxes: Sequence[Box]) -> NDArray[np.float64]:
    """Return boxes as rows; without any, one that covers nothing."""
    return np.array(boxes or [Box(0, 0, 0, 0)], np.float64)


def harm(boxes: Sequence[Box], taken: Sequence[Box] | NDArray[np.float64], frame: Box) -> float:
    """Return the cost of drawing these boxes: the weighted area that they cover, plus a high cost outside the frame."""
    return float(_costs(boxes, taken if isinstance(taken, np.ndarray) else _array(taken), frame).sum())


def _costs(boxes: Sequence[Box], taken: NDArray[np.float64], frame: Box) -> NDArray[np.float64]:
    """Return the cost of drawing each box, float64 [boxes]; `taken` is [taken, 5]."""
    mine = np.array(boxes)[:, :4].T  # left, bottom, right, top: [boxes] each
    left, bottom, right, top = mine[..., None]
    wide = np.minimum(right, taken[:, 2]) - np.maximum(left, taken[:, 0])
    high = np.minimum(top, taken[:, 3]) - np.maximum(bottom, taken[:, 1])
    covered = np.maximum(wide, 0) * np.maximum(high, 0) @ taken[:, 4]
    outside = np.maximum(np.array(frame[:2])[:, None] - mine[:2], 0) + np.maximum(mine[2:] - np.array(frame[2:4])[:, None], 0)
    costs: NDArray[np.float64] = covered + 100 * outside.sum(axis=0)
    return costs


def _around(name: Name, distance: float) -> list[Placed]:
    """Return positions of a name on all sides of its point."""
    wide, high = max(map(width, name.lines)), LINE_HEIGHT * len(name.lines)
    found = []
    for across, up in _SIDES:
        shift = distance if 0 in (across, up) else 0.7 * distance
        x, y = name.x + across * (shift + wide / 2), name.y + up * (shift + high / 2)
        box = Box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
        found.append(Placed(name, box, across, distance))
    return found
