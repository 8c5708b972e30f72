"""The Pareto front: candidates in objective space, as inline SVG, and what their objectives are called.

All objectives are minimised: good is to the left and low.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lowland.evaluation.section import Estimate
from lowland.report import text
from lowland.report.figures.marks import Array, bars, deviation, legend, markers, reach, ring
from lowland.report.figures.svg import ACCENT, BLUE, GREY, INK, ORANGE, figure, inline, styled
from lowland.report.search_facts import Objective, Pareto, Point

FRONT_WIDTH, FRONT_HEIGHT = 912, 430
"""Size of the large plot, CSS pixels: the width of the page."""

MOST_POINTS = 1500
"""Candidates drawn in the large plot, besides the front."""

FEW_POINTS = 400
"""Candidates drawn in a plot among pairs, besides the front."""

PANEL_HEIGHT = 260
"""Height of a plot among pairs, CSS pixels."""

COSTS = ("params", "macs", "latency")
"""Kinds of objectives that are a cost, which belongs on the horizontal axis."""

APART = 24.0
"""Least distance between two numbered points, CSS pixels, so that numbers can be read."""

GROUPS = {
    "infeasible": ("beyond a limit", ORANGE, "X", 5.5),
    "random": ("dominated, random", GREY, "o", 4.5),
    "proposed": ("dominated, proposed", BLUE, "^", 5.0),
}
"""Candidates off the front → label, colour, marker and its size; told apart without colour too."""


def title(objective: Objective) -> str:
    """What people call an objective: `error`, `R`, `F (α = 0.5)`, `parameters`, or as it was written."""
    if objective.kind == "flatnas" and objective.alpha is not None:
        return f"F (α = {objective.alpha:g})"
    if "(" in objective.label or objective.kind == "measure":
        return f"−({objective.label})" if objective.kind == "measure" else objective.label
    return {"params": "parameters", "macs": "MACs", "robustness": "R"}.get(objective.kind, objective.label)


def unit(objective: Objective) -> str:
    """Its unit as an axis or a column names it; empty for counts and where there is none."""
    return "" if objective.exact else {"percentage points": "points"}.get(objective.unit, objective.unit)


def value(objective: Objective, estimate: Estimate) -> str:
    """An objective's value as text: `316 k` where it is counted, else with its standard error."""
    return (
        text.size(round(estimate.value)) if objective.exact else text.estimate(estimate.value, estimate.standard_error)
    )


def axes_of(pareto: Pareto) -> tuple[int, int]:
    """The two objectives of the large plot: the first cost against the first that is none, else the first two."""
    costs = [place for place, objective in enumerate(pareto.objectives) if objective.kind in COSTS]
    others = [place for place, objective in enumerate(pareto.objectives) if objective.kind not in COSTS]
    return (costs[0], others[0]) if costs and others else (1, 0)


def pairs_of(pareto: Pareto) -> list[tuple[int, int]]:
    """The other pairs of objectives, as (horizontal, vertical), but for two counts, which grow together."""
    known = set(axes_of(pareto))
    exact = {place for place, objective in enumerate(pareto.objectives) if objective.exact}
    every = itertools.combinations(range(len(pareto.objectives)), 2)
    return [(second, first) for first, second in every if {first, second} != known and not {first, second} <= exact]


def drawn_points(pareto: Pareto, most: int = MOST_POINTS) -> list[int]:
    """Positions of the points that are drawn: the front, and of more than `most` an even choice of the rest."""
    if len(pareto.points) <= most:
        return list(range(len(pareto.points)))
    even = np.linspace(0, len(pareto.points) - 1, most).astype(int).tolist()
    return sorted({*pareto.front, *even})


def front(pareto: Pareto, limit: int | None = None) -> str:
    """The front in two objectives; every point tells its genotype and values, the front's are numbered as in the table.

    Args:
        pareto: What the search found.
        limit: The most that the horizontal objective may be, drawn where it is near the points.

    Returns:
        One `<svg>` element.
    """
    x, y = axes_of(pareto)
    with styled():
        drawn = figure(FRONT_WIDTH, FRONT_HEIGHT)
        axes = drawn.subplots()
        tips = _scatter(axes, pareto, x, y, large=True)
        scale, _ = _scale(pareto, x)
        low, high = axes.get_xlim()
        if limit is not None and low < limit / scale < high + 0.25 * (high - low):
            axes.axvline(limit / scale, color=ORANGE, linewidth=1.2, linestyle=(0, (4, 3)), label="limit", zorder=1)
            axes.set_xlim(low, max(high, limit / scale + 0.02 * (high - low)))
        _numbers(axes, pareto, x, y)
        legend(axes, 6)
        return inline(drawn, "front", _said(pareto, x, y), tips)


def pairs(pareto: Pareto) -> str:
    """The other pairs of objectives as small multiples."""
    chosen = pairs_of(pareto)
    columns = 2 if len(chosen) in (2, 4) else min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    with styled():
        drawn = figure(FRONT_WIDTH, PANEL_HEIGHT * rows + 24)
        grid = list(drawn.subplots(rows, columns, squeeze=False).flat)
        tips: dict[str, list[str]] = {}
        for axes, (x, y) in zip(grid, chosen, strict=False):
            tips |= _scatter(axes, pareto, x, y, large=False)
        for axes in grid[len(chosen) :]:
            axes.set_axis_off()
        handles, labels = grid[0].get_legend_handles_labels()
        drawn.legend(handles, labels, loc="outside upper left", ncols=len(handles), labelcolor=INK)
        alt = "; ".join(f"{_titled(pareto, y)} against {_titled(pareto, x)}" for x, y in chosen)
        return inline(drawn, "pairs", f"The candidates in the other pairs of objectives: {alt}.", tips)


def _scatter(axes: Axes, pareto: Pareto, x: int, y: int, *, large: bool) -> dict[str, list[str]]:
    """Points, error bars, the best trade-off of this pair as a staircase, the pick; gid → what its markers tell."""
    scales = [_scale(pareto, place) for place in (x, y)]
    pairs_N = [(point.objectives[x], point.objectives[y]) for point in pareto.points]
    divisors = [scale for scale, _ in scales]
    xy_N2 = np.array([[first.value, second.value] for first, second in pairs_N]) / divisors
    deviations_N2 = np.array([[deviation(first), deviation(second)] for first, second in pairs_N]) / divisors
    (x_low, x_high), (y_low, y_high) = (reach(xy_N2[:, column], pareto.front, [pareto.pick]) for column in (0, 1))
    x_low, y_low = np.minimum([x_low, y_low], (xy_N2 - deviations_N2)[list(pareto.front)].min(axis=0))
    inside_N = (xy_N2[:, 0] <= x_high) & (xy_N2[:, 1] <= y_high)
    members = [place for place in pareto.front if inside_N[place]]
    tips: dict[str, list[str]] = {}
    drawn = drawn_points(pareto, MOST_POINTS if large else FEW_POINTS)
    rest = [place for place in drawn if place not in pareto.front and inside_N[place]]
    for group, (label, shade, marker, size) in GROUPS.items():
        places = [place for place in rest if _group(pareto.points[place]) == group]
        if places:
            gid = f"points-{x}-{y}-{group}"
            if large:
                bars(axes, xy_N2[places], deviations_N2[places], shade, 0.3)
                tips[gid] = [_tip(pareto, place) for place in places]
            small = size if large else size - 1.0
            markers(axes, xy_N2[places], shade, marker, small, gid=gid, label=label, alpha=0.7, zorder=2)
    best = _staircase(xy_N2, pareto.front)
    label = "front" if len(pareto.objectives) == 2 else "best of the pair"
    axes.plot(*xy_N2[best].T, color=ACCENT, linewidth=1.6, drawstyle="steps-post", label=label, zorder=3)
    gid = f"points-{x}-{y}-front"
    bars(axes, xy_N2[members], deviations_N2[members], ACCENT, 0.9 if large else 0.5)
    markers(axes, xy_N2[members], ACCENT, "o", 8.0 if large else 5.5, gid=gid, label="not dominated", zorder=5)
    tips[gid] = [_tip(pareto, place) for place in members]
    ring(axes, xy_N2[pareto.pick].tolist(), pareto.mark, 15.0 if large else 11.0)
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, y_high)
    outside = int((~inside_N).sum())
    beyond = f"  ({outside} beyond the axes)" if outside else ""
    for set_label, place, (_, thousands), note in (
        (axes.set_xlabel, x, scales[0], beyond),
        (axes.set_ylabel, y, scales[1], ""),
    ):
        measured = unit(pareto.objectives[place]) or thousands
        set_label(_titled(pareto, place) + (f", {text.clean(measured)}" if measured else "") + note)
    axes.xaxis.set_major_locator(MaxNLocator(8 if large else 4))
    axes.yaxis.set_major_locator(MaxNLocator(6 if large else 5))
    return tips


def _group(point: Point) -> str:
    if not point.feasible:
        return "infeasible"
    return "random" if point.candidate.origin == "random" else "proposed"


def _titled(pareto: Pareto, place: int) -> str:
    return text.clean(title(pareto.objectives[place]))


def _scale(pareto: Pareto, place: int) -> tuple[float, str]:
    """What counts are divided by, so that an axis has short numbers, and its name."""
    most = max(point.objectives[place].value for point in pareto.points)
    if pareto.objectives[place].exact:
        for scale, name in ((1e9, "billions"), (1e6, "millions"), (1e3, "thousands")):
            if most >= scale:
                return scale, name
    return 1.0, ""


def _staircase(xy_N2: Array, places: Sequence[int]) -> list[int]:
    """Those of `places` that no other beats in both coordinates, from left to right."""
    best: list[int] = []
    for place in sorted(places, key=lambda each: tuple(xy_N2[each])):
        if not best or xy_N2[place, 1] < xy_N2[best[-1], 1]:
            best.append(place)
    return best


def _numbers(axes: Axes, pareto: Pareto, x: int, y: int) -> None:
    """Numbers of the table below the staircase, where there is room: the pick's, then those far enough apart."""
    divisors = [_scale(pareto, place)[0] for place in (x, y)]
    xy_N2 = np.array([[point.objectives[x].value, point.objectives[y].value] for point in pareto.points]) / divisors
    pixels = np.array([FRONT_WIDTH - 70, FRONT_HEIGHT - 80]) / [np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())]
    top = axes.get_ylim()[1]
    taken: list[Array] = []
    for place in dict.fromkeys([pareto.pick, *_staircase(xy_N2, pareto.front)]):
        here = xy_N2[place] * pixels
        if xy_N2[place, 1] <= top and all(np.linalg.norm(here - other) >= APART for other in taken):
            taken.append(here)
            weight = "bold" if place == pareto.pick else "normal"
            axes.annotate(
                str(pareto.front.index(place) + 1),
                tuple(xy_N2[place].tolist()),
                (-6, -5),
                textcoords="offset points",
                ha="right",
                va="top",
                color=INK,
                fontsize=9.5,
                fontweight=weight,
                zorder=7,
            )


def _tip(pareto: Pareto, place: int) -> str:
    """What a point tells: genotype, values, and where it comes from."""
    point = pareto.points[place]
    lines = [text.clean(point.candidate.genotype)]
    for objective, estimate in zip(pareto.objectives, point.objectives, strict=True):
        lines.append(text.clean(f"{title(objective)}: {value(objective, estimate)} {unit(objective)}".rstrip()))
    number = f"no. {pareto.front.index(place) + 1} of the front, " if place in pareto.front else ""
    pick = f"the {pareto.mark}, " if place == pareto.pick else ""
    origin = f"{point.candidate.origin}, iteration {point.candidate.generation}"
    return "\n".join([*lines, text.clean(number + pick + origin)])


def _said(pareto: Pareto, x: int, y: int) -> str:
    best = pareto.points[pareto.pick]
    picked = ", ".join(
        f"{title(objective)} {value(objective, estimate)}"
        for objective, estimate in zip(pareto.objectives, best.objectives, strict=True)
    )
    return (
        f"{_titled(pareto, y)} against {_titled(pareto, x)} of {len(pareto.points)} candidates, {len(pareto.front)} of "
        f"them on the Pareto front; its {pareto.mark}: {picked}."
    )
