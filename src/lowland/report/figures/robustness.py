"""Robustness: error under every corruption and severity as bars, in the publication's groups, as inline SVG."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from lowland.report.facts import Shift, ShiftGroup
from lowland.report.figures.svg import ACCENT, BLUE, GREY, INK, ORANGE, PURPLE, figure, inline, styled
from lowland.report.text import clean

WIDTH, HEIGHT = 912, 340
"""Size of the plot, CSS pixels: the width of the page."""

SHADES = {"noise": BLUE, "blur": PURPLE, "weather": ACCENT, "digital": ORANGE}
"""Colour of each group; others are grey."""

CLUSTER = 0.82
"""Share of a corruption's place that its bars fill."""


def robustness(shift: Shift, clean_error: float | None) -> str:
    """Top-1 error by corruption and severity, each corruption's mean with its standard error, and the overall means.

    Args:
        shift: Results on corrupted images.
        clean_error: Top-1 error on clean test images, percent, or None.

    Returns:
        One `<svg>` element.
    """
    groups = shift.groups or (ShiftGroup(name="", corruptions=tuple(shift.by), error=None),)
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        first = 0
        for group in groups:
            _bars(axes, shift, group, first)
            first += len(group.corruptions)
        names = [name for group in groups for name in group.corruptions]
        _means(axes, shift, names)
        if clean_error is not None:
            axes.axhline(clean_error, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="clean images", zorder=5)
        mean_error = 100 - shift.mean
        axes.axhline(mean_error, color=INK, linewidth=1.2, label="mean corruption error", zorder=5)
        axes.set_ylabel("top-1 error, %")
        axes.set_ylim(0, max(100.0 - level for row in shift.by.values() for level in row.values()) * 1.04 + 1)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_xticks(range(len(names)), [clean(name.replace("_", " ")) for name in names], rotation=38, ha="right")
        axes.tick_params(axis="x", length=0, pad=2)
        axes.grid(visible=False, axis="x")
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles, labels, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(handles), borderaxespad=0.2,
            handlelength=1.4, handletextpad=0.45, columnspacing=1.1, labelcolor=INK,
        )  # fmt: skip
        return inline(drawn, "robustness", _said(shift, groups, mean_error))


def _bars(axes: Axes, shift: Shift, group: ShiftGroup, first: int) -> None:
    """One bar for each corruption of a group and severity, the more severe the darker."""
    shade = SHADES.get(group.name, GREY if group.name else ACCENT)
    width = CLUSTER / len(shift.severities)
    for place, level in enumerate(shift.severities):
        strongest = place == len(shift.severities) - 1
        axes.bar(
            first + np.arange(len(group.corruptions)) - CLUSTER / 2 + (place + 0.5) * width,
            [100 - shift.by[name][level] for name in group.corruptions],
            width=0.92 * width,
            color=shade,
            alpha=1.0 if strongest else 0.35 + 0.65 * place / max(len(shift.severities) - 1, 1),
            label=clean(group.name) if strongest and group.name else None,
            linewidth=0,
            zorder=2,
        )


def _means(axes: Axes, shift: Shift, names: list[str]) -> None:
    """Each corruption's mean over severities, where it is known with its standard error."""
    known = [(place, shift.errors[name]) for place, name in enumerate(names) if name in shift.errors]
    if known:
        axes.errorbar(
            [place for place, _ in known],
            [error.value for _, error in known],
            yerr=[error.standard_error or 0.0 for _, error in known],
            linestyle="none",
            marker="o",
            markersize=3.5,
            color=INK,
            ecolor=INK,
            elinewidth=1.2,
            capsize=2.5,
            label="mean ± standard error",
            zorder=6,
        )


def _said(shift: Shift, groups: tuple[ShiftGroup, ...], mean_error: float) -> str:
    by_group = "; ".join(f"{clean(g.name)} {g.error.value:.3g}" for g in groups if g.error is not None)
    levels = ", ".join(map(str, shift.severities))
    said = f"Top-1 error in percent under {len(shift.by)} corruptions at severity {levels}; mean {mean_error:.3g}"
    return f"{said}; {by_group}." if by_group else f"{said}."
