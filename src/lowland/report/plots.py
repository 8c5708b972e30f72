"""The report's figures one by one, each an SVG image of its own, for notebooks and papers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lowland.core.files import write_text
from lowland.report.facts import ReportFacts


@dataclass(frozen=True, repr=False)
class Plot:
    """One figure.

    Attributes:
        name: What it is called among the plots of a run.
        svg: An SVG image in the colours of a light page.
    """

    name: str
    svg: str

    def save(self, path: Path | str) -> None:
        """Write it as an .svg file, atomically; raises RunError where that cannot be."""
        write_text(Path(path), self.svg)

    def _repr_svg_(self) -> str:
        """What a notebook shows."""
        return self.svg

    def __repr__(self) -> str:
        return f"<plot {self.name!r}>"


def plots(facts: ReportFacts) -> dict[str, Plot]:
    """Every figure that the report of these facts has, by name, such as `size` or `training loss`."""
    return {name: Plot(name, _standalone(svg)) for name, svg in _drawn(facts) if svg is not None}


def _drawn(facts: ReportFacts) -> Iterator[tuple[str, str | None]]:
    from lowland.report.figures import cells, robust_errors
    from lowland.report.figures import plots as figures
    from lowland.report.sections import landscape, pareto

    for graph in facts.cells:
        yield graph.title, cells.picture(graph, "cell")[0]
    if facts.search is not None and facts.search.candidates:
        if facts.pareto is None:
            yield "search", figures.progress(facts.search)
            yield "size", figures.size(facts.search)
        mark = facts.pareto.mark if facts.pareto is not None else "winner"
        yield "robustness", robust_errors.robust_errors(facts.search, mark)
    if facts.pareto is not None:
        drawn = pareto.front(facts.pareto, facts.asked)
        yield from (("front", drawn["svg"]), ("objectives", drawn["pairs"]), ("hypervolume", drawn["hypervolume"]))
    shaken = landscape.values(facts)
    yield from (("noise, inherited weights", shaken["inherited"]), ("noise, trained weights", shaken["retrained"]))
    if facts.training is not None:
        yield from zip(("training loss", "training accuracy"), figures.training(facts.training), strict=False)


def _standalone(inline: str) -> str:
    """A figure of the page as an image: colours instead of the page's variables, a size, and paper behind it."""
    from lowland.report.figures.svg import PAPER, THEME

    colours: Mapping[str, str] = {f"var({variable})": colour for colour, variable in THEME.items()}
    for variable, colour in colours.items():
        inline = inline.replace(variable, colour)
    box = inline.partition('viewBox="')[2].partition('"')[0]
    _, _, width, height = box.split()
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"'
    opening, end, rest = inline.partition(">")
    return f'{head}{opening.removeprefix("<svg")}{end}<rect width="100%" height="100%" fill="{PAPER}"/>{rest}'
