"""Figures of several networks in one: loss against weight noise overlaid, and contours at the same levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from lowland.evaluation.landscapes import NetworkLandscape
from lowland.evaluation.section import Line, Series
from lowland.measures.surface.drawing import contours, extent
from lowland.report.figures.marks import legend
from lowland.report.figures.plots import logarithmic
from lowland.report.figures.svg import ACCENT, BLUE, GREY, ORANGE, PAPER, PURPLE, figure, inline, styled
from lowland.report.text import clean

WIDTH, HEIGHT = 480, 320
SQUARE = 340
"""Sides of the figures, CSS pixels."""

LOOKS = tuple(
    (shade, marker, dashes)
    for dashes in ("-", "--", ":")
    for shade, marker in ((ACCENT, "o"), (BLUE, "s"), (ORANGE, "^"), (PURPLE, "D"), (GREY, "v"))
)
"""Colour, marker and dashes of each line in turn; told apart without colour too."""

MARKS = 12
"""Markers on a line of many points."""

RATIO = 10
"""Greatest over least loss from which on the axis is logarithmic."""


def curves(networks: Sequence[NetworkLandscape]) -> str:
    """Loss against σ of every network; a band is ± one standard error."""
    lines = [Line(label=each.name, x=each.sigmas, y=each.losses, errors=each.errors) for each in networks]
    return overlaid(
        Series(x_label="σ, standard deviation of the weight noise", y_label="cross-entropy, nats", lines=tuple(lines)),
        "curves",
    )


def overlaid(series: Series, name: str) -> str:
    """Lines of several networks or runs over one axis, told apart without colour too; a band is ± one standard error.

    The axis is logarithmic where the values are above zero and span more than `RATIO`.

    Args:
        series: The lines.
        name: Unique on the page.

    Returns:
        One `<svg>` element.
    """
    with styled():
        drawn = figure(WIDTH, HEIGHT + 18 * len(series.lines))
        axes = drawn.subplots()
        for place, line in enumerate(series.lines):
            shade, marker, dashes = LOOKS[place % len(LOOKS)]
            y = np.array(line.y)
            axes.plot(
                line.x,
                y,
                color=shade,
                linestyle=dashes,
                linewidth=2,
                marker=marker,
                markevery=max(1, len(line.x) // MARKS),
                markersize=5,
                markeredgecolor=PAPER,
                markeredgewidth=0.8,
                label=clean(shortened(line.label)),
                zorder=4,
            )
            if line.errors:
                errors = np.array([error or 0.0 for error in line.errors])
                low = np.maximum(y - errors, np.minimum(y, 0.5 * y))  # a logarithmic axis has no zero
                axes.fill_between(line.x, low, y + errors, color=shade, alpha=0.15, linewidth=0, zorder=1)
        found = [value for line in series.lines for value in line.y]
        if min(found) > 0 and max(found) / min(found) > RATIO:
            logarithmic(axes, min(found), max(found))
        axes.set_xlabel(clean(series.x_label))
        axes.set_ylabel(clean(series.y_label))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        legend(axes, columns=1)
        said = "; ".join(f"{clean(each.label)} from {each.y[0]:.3g} to {each.y[-1]:.3g}" for each in series.lines)
        return inline(drawn, name, f"{clean(series.y_label)} against {clean(series.x_label)}: {said}.")


def planes(networks: Sequence[NetworkLandscape]) -> list[tuple[str, str]]:
    """The contours of every network that has a plane, at levels that all of them share.

    Returns:
        Of each its name and the figure.
    """
    seen = [(network, network.plane) for network in networks if network.plane is not None]
    if not seen:
        return []
    extents = [extent(plane) for _, plane in seen]
    between = min(low for low, _ in extents), max(high for _, high in extents)
    made = []
    for place, (network, plane) in enumerate(seen):
        with styled():
            drawn = figure(SQUARE, SQUARE)
            contours(drawn.subplots(), plane, between)
            low, high = extent(plane)
            centre = "not finite" if plane.centre is None else f"{plane.centre:.3g}"
            alt = f"Loss of {clean(network.name)} in the plane: {centre} at its weights, from {low:.3g} to {high:.3g}."
            made.append((network.name, inline(drawn, f"plane-{place}", alt)))
    return made


def shortened(name: str, most: int = 60) -> str:
    """A name that fits into a legend: of a long one, the end, where names of runs differ."""
    return name if len(name) <= most else f"…{name[1 - most :]}"
