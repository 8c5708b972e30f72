"""Inline SVG: matplotlib figures whose colours follow the page's light or dark theme, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from lowland.report.text import clean

INK, MUTED, RULE, PAPER = "#1a2324", "#5a686b", "#d9dfdf", "#fefefe"
ACCENT, BLUE, ORANGE, PURPLE, GREY = "#0f6e66", "#2a6fb0", "#c4631a", "#8a4f9e", "#8b979a"
RAMP = ("#7fbfb4", "#4f9fb4", "#3a79ad", "#45509a", "#46256e")
"""Five steps from little to much: ever darker on light paper, ever lighter on dark, so that hue is not needed."""
THEME = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    PAPER: "--paper",
    ACCENT: "--accent",
    BLUE: "--blue",
    ORANGE: "--orange",
    PURPLE: "--purple",
    GREY: "--grey",
    **{shade: f"--step-{step}" for step, shade in enumerate(RAMP, start=1)},
}
"""Colours used in figures → the page's CSS variables, which have a value for light and one for dark."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # real text: small, selectable, found by the browser's search
    "svg.hashsalt": "lowland",
    "font.family": "DejaVu Sans",  # bundled with matplotlib, so the layout is the same everywhere
    "font.size": 11.0,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a dollar sign
    "axes.edgecolor": GREY,
    "axes.labelcolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 11.0,
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 10.0,
    "ytick.labelsize": 10.0,
    "legend.frameon": False,
    "legend.fontsize": 10.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "path.simplify": True,
}
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_SVG = "{http://www.w3.org/2000/svg}"
_COLOUR = re.compile("|".join(THEME))


def styled() -> AbstractContextManager[None]:
    """A context in which figures are drawn and saved in the report's style; matplotlib's own settings come back."""
    return matplotlib.rc_context(STYLE)


def figure(width: float, height: float) -> Figure:
    """An empty figure of width × height CSS pixels (matplotlib points); make and fill it inside `styled()`."""
    made = Figure(figsize=(width / 72, height / 72), dpi=72, layout="constrained")
    FigureCanvasSVG(made)
    return made


def inline(drawn: Figure, name: str, alt: str, tips: Mapping[str, Sequence[str]] | None = None) -> str:
    """Write a figure for an HTML page: every text in it is escaped.

    Args:
        drawn: The figure.
        name: Unique on the page; starts every id, so that figures do not refer into one another.
        alt: What the figure shows, for those who do not see it.
        tips: What browsers show over a marker: by the gid of a line without strokes, one text for each of its points,
            all of which must be inside the figure.

    Returns:
        One `<svg>` element, to be placed as it is.
    """
    buffer = io.BytesIO()
    with styled():
        drawn.savefig(buffer, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for gid, texts in (tips or {}).items():
        line = next(element for element in root.iter() if element.get("id") == gid)
        for marker, text in zip(line.iter(f"{_SVG}use"), texts, strict=True):
            ElementTree.SubElement(marker, f"{_SVG}title").text = "\n".join(map(clean, text.split("\n")))
    for element in root.iter():
        _adapt(element, name)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": clean(alt)}
    return ElementTree.tostring(root, encoding="unicode")


def _adapt(element: ElementTree.Element, name: str) -> None:
    """Plain tag names, own ids, theme colours, two decimals."""
    element.tag = element.tag.removeprefix(_SVG)
    attributes = {}
    for key, value in element.attrib.items():
        key = key.rpartition("}")[2]
        if key == "id":
            value = f"{name}-{value}"
        elif key == "href" and value.startswith("#"):
            value = f"#{name}-{value[1:]}"
        else:
            value = value.replace("url(#", f"url(#{name}-")
            value = _NUMBER.sub(lambda match: f"{float(match[0]):.2f}", value)
            value = _COLOUR.sub(lambda match: f"var({THEME[match[0]]})", value)
            value = re.sub(r"'DejaVu Sans'[^;]*", "inherit", value)
            value = " ".join(value.split())
        attributes[key] = value
    element.attrib = attributes
    for part in ("text", "tail"):
        held = getattr(element, part)
        if held is not None and not held.strip():
            setattr(element, part, None)
