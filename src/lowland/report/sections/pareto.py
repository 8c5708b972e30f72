"""Pareto front: its figures, the table of its networks, and tiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lowland.evaluation.section import Estimate
from lowland.report.facts import Asked
from lowland.report.search_facts import Pareto, ScoredCandidate
from lowland.report.tiles import Tile

MOST_ROWS = 30
"""Networks of a front whose table is open; of more it unfolds."""


def tiles(pareto: Pareto) -> list[Tile]:
    """The pick's first measured objective, and how many networks there are to choose from."""
    from lowland.report.figures import pareto as fronts

    place, objective = next((p, each) for p, each in enumerate(pareto.objectives) if not each.exact)
    shown = fronts.value(objective, pareto.points[pareto.pick].objectives[place])
    networks = f"of {len(pareto.points):,} candidates, not dominated"
    return [
        Tile.of(f"{fronts.title(objective)} at the {pareto.mark}", shown, fronts.unit(objective), "on search images"),
        Tile.of("Pareto front", f"{len(pareto.front):,}", "", networks),
    ]


@dataclass(frozen=True, slots=True)
class _Row:
    """One network of the front: its measured objectives, then error and R where they are none; None: not kept."""

    candidate: ScoredCandidate
    estimates: tuple[Estimate | None, ...]


def front(pareto: Pareto, asked: Asked) -> dict[str, Any]:
    """The front's figures and table, and what its objectives are called."""
    from lowland.report.figures import pareto as fronts
    from lowland.report.figures import search_progress

    names = [(fronts.title(objective), fronts.unit(objective)) for objective in pareto.objectives]
    places = [place for place, objective in enumerate(pareto.objectives) if not objective.exact]
    points = [pareto.points[place] for place in pareto.front]
    kinds = {objective.kind for objective in pareto.objectives}
    further = [
        (column, values)
        for kind, column, values in (
            ("error", ("error", "%"), [point.candidate.error for point in points]),
            ("robustness", ("R", "points"), [point.candidate.robustness for point in points]),
        )
        if kind not in kinds and any(values)
    ]
    limit = {"params": asked.max_params, "macs": asked.max_macs}
    drawn = fronts.drawn_points(pareto)
    return {
        "svg": fronts.front(pareto, limit.get(pareto.objectives[fronts.axes_of(pareto)[0]].kind)),
        "pairs": fronts.pairs(pareto) if fronts.pairs_of(pareto) else None,
        "hypervolume": search_progress.hypervolume(pareto.iterations),
        "surrogates": search_progress.surrogates(pareto),
        "thin": f" Drawn: {len(drawn):,} of them, with the whole front." if len(drawn) < len(pareto.points) else "",
        "first": names[0][0],
        "places": places,
        "measured": [names[place] for place in places],
        "columns": [*(names[place] for place in places), *(column for column, _ in further)],
        "rows": [
            _Row(
                point.candidate,
                (*(point.objectives[place] for place in places), *(values[row] for _, values in further)),
            )
            for row, point in enumerate(points)
        ],
        "pick": pareto.front.index(pareto.pick) + 1,
        "best": [
            (name, fronts.value(objective, estimate), unit)
            for (name, unit), objective, estimate in zip(
                names, pareto.objectives, pareto.points[pareto.pick].objectives, strict=True
            )
        ],
    }
