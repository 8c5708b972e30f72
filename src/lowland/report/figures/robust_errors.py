"""R against error: how much weight noise changes a candidate's accuracy, and how accurate it is, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lowland.evaluation.section import Estimate
from lowland.report import text
from lowland.report.figures.marks import bars, deviation, legend, markers, reach, ring
from lowland.report.figures.plots import MOST_POINTS
from lowland.report.figures.svg import RAMP, figure, inline, styled
from lowland.report.search_facts import ScoredCandidate, Search

WIDTH, HEIGHT = 912, 400
"""Size of the plot, CSS pixels: the width of the page."""


def robust_errors(search: Search, chosen: str) -> str | None:
    """Draw R against error of every candidate whose measure kept both, darker where it is larger.

    Args:
        search: The search.
        chosen: What the candidate that it chose is called.

    Returns:
        One `<svg>` element; None where no candidate has both.
    """
    rows = [
        (candidate, candidate.error, candidate.robustness)
        for candidate in search.candidates
        if candidate.error is not None and candidate.robustness is not None
    ]
    if not rows:
        return None
    if len(rows) > MOST_POINTS:
        even = set(np.linspace(0, len(rows) - 1, MOST_POINTS).astype(int).tolist())
        rows = [row for place, row in enumerate(rows) if place in even or row[0].index == search.winner]
    found = [row[0] for row in rows]
    xy_N2 = np.array([[error.value, robust.value] for _, error, robust in rows])
    deviations_N2 = np.array([[deviation(error), deviation(robust)] for _, error, robust in rows])
    winner = [place for place, candidate in enumerate(found) if candidate.index == search.winner]
    (x_low, x_high), (y_low, y_high) = (reach(xy_N2[:, column], always=winner) for column in (0, 1))
    inside_N = (xy_N2[:, 0] <= x_high) & (xy_N2[:, 1] <= y_high)
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        tips: dict[str, list[str]] = {}
        for step, members in enumerate(_steps([candidate.parameters for candidate in found])):
            shown = [place for place in members if inside_N[place]]
            if shown:
                sizes = [found[place].parameters for place in members]
                between = dict.fromkeys(text.size(edge) for edge in (min(sizes), max(sizes)))
                gid = f"candidates-{step}"
                bars(axes, xy_N2[shown], deviations_N2[shown], RAMP[step], 0.4)
                markers(axes, xy_N2[shown], RAMP[step], "o", 6.5, gid=gid, label=" – ".join(between), zorder=3)
                tips[gid] = [_tip(*rows[place]) for place in shown]
        for place in winner:
            ring(axes, xy_N2[place].tolist(), chosen, 15.0)
        outside = int((~inside_N).sum())
        axes.set_xlim(x_low, x_high)
        axes.set_ylim(y_low, y_high)
        axes.set_xlabel("error on search images, %" + (f"  ({outside} beyond the axes)" if outside else ""))
        axes.set_ylabel("R, points")
        legend(axes, 6, "parameters: ")
        alt = f"R against error of {len(rows)} candidates, coloured by their number of parameters."
        return inline(drawn, "robust-errors", alt, tips)


def _steps(sizes: Sequence[int]) -> list[list[int]]:
    """Positions in up to five groups of about equal number, by size; equal sizes stay together."""
    edges = np.unique(np.quantile(sizes, np.linspace(0, 1, len(RAMP) + 1)[1:-1]))
    step_N = np.searchsorted(edges, sizes, side="left")
    # Few groups take the ends of the ramp, so that they can be told apart.
    spread = np.linspace(0, len(RAMP) - 1, len(edges) + 1).round().astype(int) if len(edges) else np.array([2])
    groups: list[list[int]] = [[] for _ in RAMP]
    for place, step in enumerate(step_N):
        groups[spread[step]].append(place)
    return groups


def _tip(candidate: ScoredCandidate, error: Estimate, robust: Estimate) -> str:
    said = (
        candidate.genotype,
        f"error: {text.estimate(error.value, error.standard_error)} %",
        f"R: {text.estimate(robust.value, robust.standard_error)} points",
        f"parameters: {text.size(candidate.parameters)}",
    )
    return "\n".join(map(text.clean, said))
