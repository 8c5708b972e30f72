"""Marks of scatter plots: points that can tell something, error bars, rings, the reach of an axis, legends.

Array names: N points, 2 coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lowland.evaluation.section import Estimate
from lowland.report.figures.svg import INK, PAPER

Array = NDArray[np.float64]

FAR, FAR_OFF = 1.0, 3.0
"""A value farther above the central nine tenths than this many times their width is left out of an axis: `FAR_OFF` of
values that matter more, `FAR` of the others."""


def markers(axes: Axes, xy_N2: Array, shade: str, marker: str, size: float, **options: Any) -> None:
    """Markers without strokes, so that `svg.inline` can give each a tip by the `gid` among `options`."""
    axes.plot(
        *xy_N2.T,
        color=shade,
        marker=marker,
        linestyle="none",
        markersize=size,
        markeredgecolor=PAPER,
        markeredgewidth=0.6,
        **options,
    )


def deviation(estimate: Estimate) -> float:
    """The standard error that a bar shows; 0, for none, where it is exact or unknown."""
    return estimate.standard_error or 0.0


def bars(axes: Axes, xy_N2: Array, deviations_N2: Array, shade: str, alpha: float) -> None:
    """Standard errors in both directions, below the points; none where they are 0."""
    for column, name in enumerate(("xerr", "yerr")):
        shown_N = deviations_N2[:, column] > 0
        if shown_N.any():
            axes.errorbar(
                *xy_N2[shown_N].T,
                **{name: deviations_N2[shown_N, column]},
                linestyle="none",
                ecolor=shade,
                elinewidth=1.0,
                alpha=alpha,
                zorder=1,
            )


def ring(axes: Axes, xy_2: Sequence[float], label: str, size: float = 11.0) -> None:
    """A ring around one point, which lies among many."""
    axes.plot(
        xy_2[:1],
        xy_2[1:],
        marker="o",
        linestyle="none",
        markersize=size,
        markerfacecolor="none",
        markeredgecolor=INK,
        markeredgewidth=1.5,
        label=label,
        zorder=6,
    )


def reach(values_N: Array, wanted: Sequence[int] = (), always: Sequence[int] = ()) -> tuple[float, float]:
    """Choose the ends of an axis: all values but a few very great ones, which would flatten the rest.

    Args:
        values_N: The values, at least one.
        wanted: Positions of those left out only where they are very far off.
        always: Positions of those never left out.

    Returns:
        Lower and upper end, a margin of 5 % included.
    """
    low, high = np.quantile(values_N, [0.05, 0.95])
    bottom, top = float(values_N.min()), float(values_N.max())
    if top > high + FAR * (high - low) > high:
        inside_N = values_N <= high + FAR * (high - low)
        inside_N[list(wanted)] = values_N[list(wanted)] <= high + FAR_OFF * (high - low)
        inside_N[list(always)] = True
        top = float(values_N[inside_N].max())
    margin = 0.05 * (top - bottom) or 0.05 * abs(top) or 0.5
    return bottom - margin, top + margin


def legend(axes: Axes, columns: int = 5, head: str = "") -> None:
    """A legend above the plot, where it covers no point; `head` is set before its first entry."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            handles,
            [head + labels[0], *labels[1:]],
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            ncols=min(len(handles), columns),
            borderaxespad=0.2,
            handlelength=1.2,
            handletextpad=0.45,
            columnspacing=1.1,
            labelcolor=INK,
        )
