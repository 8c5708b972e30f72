"""The report page: one self-contained HTML file that needs no network, no script and no other file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

from lowland.core.files import write_text
from lowland.report import text
from lowland.report.facts import Asked, Network, ReportFacts
from lowland.report.sections import classification, corruptions, details, generic, landscape, own, pareto
from lowland.report.tiles import Tile

MOST_CLASSES = 12
"""Class names shown; of more, only these and the count."""


def write(facts: ReportFacts, path: Path) -> None:
    """Write the report atomically to `path`. The same facts give the same bytes.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(path, render(facts))


def render(facts: ReportFacts) -> str:
    """The report as HTML. Every text of `facts` is escaped."""
    from lowland.report.figures import cells, plots, relaxed, robust_errors

    search = facts.search if facts.search is not None and facts.search.candidates else None
    winner = facts.networks[0] if facts.networks else None
    # A section of a suite stands where the page has a place for it, or else behind the others.
    further = {judged.suite: module for judged in facts.judged if (module := own(judged.suite)) is not None}
    sections = details.values(facts)
    for module in (landscape, corruptions, generic, *further.values()):
        sections |= module.values(facts)
    return filled(
        "template.html",
        facts=facts,
        winner=winner,
        tiles=_tiles(facts, winner),
        evaluated=any(stage.name == "evaluate" for stage in facts.stages),
        asked_rows=_asked_rows(facts.asked),
        cells=[(graph.title, *cells.picture(graph, f"cell-{index}")) for index, graph in enumerate(facts.cells)],
        faded=any(len(cells.alive(graph)) < len(graph.edges) for graph in facts.cells),
        scored_on=((winner.score and winner.score.n) or (search.images if search else None)) if winner else None,
        winning=plots.winner(search) if search else None,
        progress=plots.progress(search) if search and not facts.pareto else None,
        size=plots.size(search) if search and not facts.pareto else None,
        relaxed=relaxed.drawn(facts.relaxed) if facts.relaxed else None,
        front=pareto.front(facts.pareto, facts.asked) if facts.pareto else None,
        most_rows=pareto.MOST_ROWS,
        robust=robust_errors.robust_errors(search, facts.pareto.mark if facts.pareto else "winner") if search else None,
        training=plots.training(facts.training) if facts.training else [],
        shown_points=len(plots.thinned(search)) if search else 0,
        own_sections=[f"sections/{name}.html" for name in further],
        **sections,
    )


def filled(template: str, folder: Path | None = None, **values: Any) -> str:
    """A template of this folder, or of another that may use this one's, as HTML with every text escaped and clean."""
    page = _environment(folder).get_template(template).render(**values)
    return "\n".join(map(text.clean, page.expandtabs().split("\n")))


@cache
def _environment(folder: Path | None) -> Environment:
    """Templates are compiled once in a process, which takes as long as three plots."""
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
    return environment


def _tiles(facts: ReportFacts, winner: Network | None) -> list[Tile]:
    """The few figures a reader wants first."""
    tiles = [*classification.tiles(winner), *corruptions.tiles(winner), *generic.tiles(facts)]
    if winner is not None and winner.test is None and facts.pareto is not None:
        tiles += pareto.tiles(facts.pareto)
    elif winner is not None and winner.test is None and (winner.score is not None or winner.place is not None):
        tiles.append(_best(winner, facts.asked.measure))
    if winner is not None:
        tiles.append(Tile.of("Parameters", text.size(winner.parameters), "", _limit(facts.asked.max_params)))
        macs = text.size(winner.macs)
        tiles.append(Tile.of("Multiply-accumulates", macs, "", f"for one image; {_limit(facts.asked.max_macs)}"))
    if facts.stages:
        scored = f"{facts.search.count:,} candidates scored" if facts.search else "all stages so far"
        total = text.rough_duration(sum(stage.seconds for stage in facts.stages))
        tiles.append(Tile.of("Wall time", total, "", scored))
    return tiles


def _best(winner: Network, measure: str) -> Tile:
    """The winner's score, or its place where scores are only an order."""
    if winner.place is not None:
        return Tile(
            "Best candidate", f"{winner.place.place:,}", f"of {winner.place.of:,}", f"in the order of {measure}"
        )
    assert winner.score is not None
    score = text.estimate(winner.score.value, winner.score.standard_error)
    return Tile.of("Best score", score, "", measure)


def _limit(most: int | None) -> str:
    return "no limit" if most is None else f"limit {text.size(most)}"


def _classes(names: tuple[str, ...]) -> str:
    if len(names) <= MOST_CLASSES:
        return ", ".join(names)
    return f"{', '.join(names[:MOST_CLASSES])}, … and {len(names) - MOST_CLASSES} more"


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
