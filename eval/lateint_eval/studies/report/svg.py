"""Drawings of matplotlib as inline SVG: text stays text, lines take the page's colour, equal input gives equal bytes."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from lateint_store.errors import MissingExtra

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#010203"  # placeholder for the colour of the page's text; no data is drawn in it
BLUE, GREEN, RED, GREY = "#2a80c4", "#009e73", "#d55e00", "#8a8a8a"  # after Okabe and Ito; contrast 3:1 on light and dark
TIP = "tip-"  # prefix of the gid of artists with a tooltip

_STYLE = {
    "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 10.5, "text.parse_math": False,
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "axes.titlesize": 10.5,
    "axes.titlelocation": "left", "axes.axisbelow": True,
    "axes.grid": True, "grid.color": INK, "grid.alpha": 0.12, "grid.linewidth": 0.6,
}  # fmt: skip

_FONT = re.compile(r"font: ([\d.]+px) [^;]*")  # written by matplotlib 3.9
_FAMILY = re.compile(r"font-family: [^;]*;\s*")  # written by later versions


def drawing(draw: Callable[[Figure], list[str]], size: tuple[int, int], name: str, title: str) -> str:
    """Return an SVG element that scales with the page.

    Args: `draw` fills a Figure and returns the tooltips of the artists with gid `tip-0`, `tip-1`, ...; `size` is in pixels;
    `name` must be unique in the page, because ids are made from it; `title` is read by screen readers.
    Raises: MissingExtra without matplotlib.
    """
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("matplotlib", "study") from error
    text = io.StringIO()
    with matplotlib.style.context(["default", _STYLE | {"svg.hashsalt": name}]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser draws the text with its own fonts
        figure = Figure(figsize=(size[0] / 72, size[1] / 72), dpi=72)
        tips = draw(figure)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    return _inline(text.getvalue(), tips, name, title)


def _inline(svg: str, tips: list[str], name: str, title: str) -> str:
    """Return the part of an SVG file that HTML needs, with ids that are unique in the page."""
    root = ElementTree.fromstring(svg)
    for parent in list(root.iter()):
        parent.tag = parent.tag.rpartition("}")[2]  # inline SVG in HTML needs no namespace
        for child in [each for each in parent if each.tag.rpartition("}")[2] in ("metadata", "style", "clipPath")]:
            parent.remove(child)
    for element in root.iter():
        _clean(element, tips, name)
        if not (element.text or "").strip():
            element.text = None
        element.tail = "\n" if element.tag in ("g", "text", "path") else None
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title}
    return ElementTree.tostring(root, encoding="unicode").strip()


def _clean(element: ElementTree.Element, tips: list[str], name: str) -> None:
    """Clean the attributes of one element: no clips, links only inside this drawing, the page's colour and fonts."""
    given = {key.rpartition("}")[2]: value for key, value in element.attrib.items() if key != "clip-path"}
    own = given.pop("id", "")
    if element.tag in ("path", "use") or (own and element.tag not in ("g", "svg")):
        given |= {"id": f"{name}-{own}"} if own else {}
    if "href" in given:
        given["href"] = f"#{name}-{given['href'].removeprefix('#')}"
    if "style" in given:
        given["style"] = _FAMILY.sub("", _FONT.sub(r"font-size: \1", given["style"])).replace(INK, "currentColor")
    element.attrib = given
    if own.startswith(TIP):
        tip = ElementTree.Element("title")
        tip.text = tips[int(own.removeprefix(TIP))]
        element.insert(0, tip)
