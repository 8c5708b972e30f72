"""The report page: one self-contained HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

from lowland.core.files import write_text
from lowland.report import text
from lowland.report.facts import Asked, Curve, Network, ReportFacts, Shift
from lowland.report.search_facts import Estimate, Pareto, ScoredCandidate

MOST_CLASSES = 12
"""Class names shown; of more, only these and the count."""

MOST_ROWS = 30
"""Networks of a front whose table is open; of more it unfolds."""


def write(facts: ReportFacts, path: Path) -> None:
    """Write the report atomically to `path`. The same facts give the same bytes.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(path, render(facts))


def render(facts: ReportFacts) -> str:
    """The report as HTML. Every text of `facts` is escaped."""
    from lowland.report.figures import cells, plots, robust_errors, robustness

    search = facts.search if facts.search is not None and facts.search.candidates else None
    inherited = [curve for curve in facts.curves if curve.kind != "retrained"]
    retrained = [curve for curve in facts.curves if curve.kind == "retrained"]
    winner = facts.networks[0] if facts.networks else None
    return filled(
        "template.html",
        facts=facts,
        winner=winner,
        tiles=_tiles(facts, winner),
        asked_rows=_asked_rows(facts.asked),
        cells=[(graph.title, *cells.picture(graph, f"cell-{index}")) for index, graph in enumerate(facts.cells)],
        faded=any(len(cells.alive(graph)) < len(graph.edges) for graph in facts.cells),
        scored_on=winner.score.n or (search.images if search else None) if winner else None,
        winning_score=plots.winner(search).score if search else None,
        progress=plots.progress(search) if search and not facts.pareto else None,
        size=plots.size(search) if search and not facts.pareto else None,
        front=_front(facts.pareto, facts.asked) if facts.pareto else None,
        most_rows=MOST_ROWS,
        robust=robust_errors.robust_errors(search, facts.pareto.mark if facts.pareto else "winner") if search else None,
        inherited=plots.landscape(inherited, "inherited") if inherited else None,
        retrained=plots.landscape(retrained, "retrained") if retrained else None,
        curve_notes=[_curve_note(part) for part in (inherited, retrained)],
        training=plots.training(facts.training) if facts.training else [],
        shift=_heat(winner.shift) if winner and winner.shift else None,
        bars=robustness.robustness(winner.shift, _clean_error(winner)) if winner and winner.shift else None,
        cell_error=50 / winner.shift.n**0.5 if winner and winner.shift else None,
        shown_points=len(plots.thinned(search)) if search else 0,
    )


def filled(template: str, folder: Path | None = None, **values: Any) -> str:
    """A template of this folder, or of another that may use this one's, as HTML with every text escaped and clean."""
    own = PackageLoader("lowland.report", ".")
    environment = Environment(
        loader=own if folder is None else ChoiceLoader([own, FileSystemLoader(folder)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "estimate": text.estimate,
        "number": text.number,
        "size": text.size,
        "grouped": text.grouped,
        "duration": text.duration,
    }
    page = environment.get_template(template).render(**values)
    return "\n".join(map(text.clean, page.expandtabs().split("\n")))


@dataclass(frozen=True, slots=True)
class Tile:
    """One key figure: what it is, its value, its standard error with the unit, and a note below."""

    label: str
    value: str
    rest: str
    note: str

    @classmethod
    def of(cls, label: str, shown: str, unit: str, note: str) -> Tile:
        """Split `86.4 ± 0.5` or `316 k` at its first hard space, so that the first part can be set large."""
        value, _, rest = shown.partition(text.HARD_SPACE)
        return cls(label, value, f"{rest} {unit}".strip(), note)


def _tiles(facts: ReportFacts, winner: Network | None) -> list[Tile]:
    """The few figures a reader wants first."""
    tiles = []
    if winner is not None and winner.test is not None:
        top1 = text.estimate(winner.test.top1, winner.test.top1_standard_error)
        tiles.append(Tile.of("Test accuracy, top-1", top1, "%", f"{winner.test.n:,} test images"))
    if winner is not None and winner.shift is not None:
        kinds = f"{len(winner.shift.by)} corruptions × {len(winner.shift.severities)} severities"
        mean = text.estimate(winner.shift.mean, winner.shift.standard_error)
        tiles.append(Tile.of("Under corruption, top-1", mean, "%", f"{kinds}, {winner.shift.n:,} images"))
    if winner is not None and winner.test is None and facts.pareto is not None:
        tiles += _pareto_tiles(facts.pareto)
    elif winner is not None and winner.test is None:
        score = text.estimate(winner.score.value, winner.score.standard_error)
        tiles.append(Tile.of("Best score", score, "", facts.asked.measure))
    if winner is not None:
        tiles.append(Tile.of("Parameters", text.size(winner.parameters), "", _limit(facts.asked.max_params)))
        macs = text.size(winner.macs)
        tiles.append(Tile.of("Multiply-accumulates", macs, "", f"for one image; {_limit(facts.asked.max_macs)}"))
    if facts.stages:
        scored = f"{len(facts.search.candidates):,} candidates scored" if facts.search else "all stages so far"
        total = text.rough_duration(sum(stage.seconds for stage in facts.stages))
        tiles.append(Tile.of("Wall time", total, "", scored))
    return tiles


def _pareto_tiles(pareto: Pareto) -> list[Tile]:
    """The pick's first measured objective, and how many networks there are to choose from."""
    from lowland.report.figures import pareto as fronts

    place, objective = next((p, each) for p, each in enumerate(pareto.objectives) if not each.exact)
    shown = fronts.value(objective, pareto.points[pareto.pick].objectives[place])
    networks = f"of {len(pareto.points):,} candidates, not dominated"
    return [
        Tile.of(f"{fronts.title(objective)} at the {pareto.mark}", shown, fronts.unit(objective), "on search images"),
        Tile.of("Pareto front", f"{len(pareto.front):,}", "", networks),
    ]


def _limit(most: int | None) -> str:
    return "no limit" if most is None else f"limit {text.size(most)}"


def _classes(names: tuple[str, ...]) -> str:
    if len(names) <= MOST_CLASSES:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_CLASSES])}, … and {len(names) - MOST_CLASSES} more"


def _curve_note(curves: list[Curve]) -> str:
    """Sample sizes of a loss curve, in words."""
    if not curves:
        return ""
    draws = {curve.draws for curve in curves}
    images = {curve.images for curve in curves}
    each = f"{min(draws)}" if len(draws) == 1 else f"{min(draws)} to {max(draws)}"
    seen = f"{min(images):,}" if len(images) == 1 else f"{min(images):,} to {max(images):,}"
    band = "band: ± one standard error over the draws" if max(draws) > 1 else "a single draw has no standard error"
    return f"{each} noise draw{'s' if max(draws) > 1 else ''} per σ on {seen} images; {band}"


def _clean_error(network: Network) -> float | None:
    return None if network.test is None else 100 - network.test.top1


@dataclass(frozen=True, slots=True)
class _Row:
    """One network of the front: its measured objectives, then error and R where they are none; None: not kept."""

    candidate: ScoredCandidate
    estimates: tuple[Estimate | None, ...]


def _front(pareto: Pareto, asked: Asked) -> dict[str, Any]:
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


def _heat(shift: Shift) -> list[tuple[str, list[float], float]]:
    """Rows of the corruption table: type, accuracy at each severity, mean; the last row holds the means."""
    rows = [(name, [row[level] for level in shift.severities]) for name, row in shift.by.items()]
    columns = list(zip(*(values for _, values in rows), strict=True))
    rows.append(("mean", [sum(column) / len(column) for column in columns]))
    return [(name, values, sum(values) / len(values)) for name, values in rows]


def _asked_rows(asked: Asked) -> list[tuple[str, str]]:
    """What was asked for, as (name, value) lines; of images only the name where none has been loaded yet."""
    data = asked.data
    kind = {1: "grey", 3: "colour"}.get(data.channels, f"{data.channels}-channel")
    seen = [
        ("Images", f"{data.image_size} × {data.image_size} pixels, {kind}"),
        ("Split", f"{data.train:,} training, {data.search:,} search, {data.test:,} test images"),
        ("Classes", f"{len(data.classes)}: {_classes(data.classes)}"),
    ]
    return [
        ("Data set", data.name),
        *(seen if data.classes else ()),
        ("Search space", f"{asked.space}, {text.grouped(asked.space_size)} architectures"),
        ("Measure", asked.measure),
        ("Strategy", asked.strategy),
        *([("Objectives", ", ".join(asked.objectives))] if asked.objectives else ()),
        ("Parameter limit", _limit(asked.max_params).removeprefix("limit ")),
        ("MAC limit", _limit(asked.max_macs).removeprefix("limit ")),
        ("Seed", str(asked.seed)),
        *asked.settings,
    ]
