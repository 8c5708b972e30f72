"""Searches beside one another, and the answer in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowland.app import console
from lowland.app.options import Given, layers

if TYPE_CHECKING:
    from rich.text import Text


def compare_searches(
    searchers: str,
    given: Given,
    *,
    seeds: int,
    suites: str | None,
    truth: Path | None,
    truth_column: str,
    limits: dict[str, str | None],
    out: Path,
    json_output: bool,
) -> None:
    """Let searches look for networks at equal time, and print what they found."""
    from lowland.app.display import stoppable
    from lowland.app.shown import shown
    from lowland.core.settings import count, nested
    from lowland.workflow.search_comparison.comparison import compare_searches as compared
    from lowland.workflow.search_comparison.request import SearchesRequest

    request = SearchesRequest(
        searchers=named(searchers),
        seeds=seeds,
        truth=truth,
        truth_column=truth_column,
        suites=None if suites is None else named(suites),
    )
    sizes = [
        nested(f"search.{name}", count(f"--{name.replace('_', '-')}", value))
        for name, value in limits.items()
        if value is not None
    ]
    display = shown(console.out, "none" if json_output else "auto")
    with stoppable(display):
        document = compared(request, out, [*sizes, *layers(given)], monitor=display)
    if json_output:
        console.print_json(document)
        return
    console.say(lines(document, out, console.out.width))


def named(text: str) -> tuple[str, ...]:
    """The names in a text that commas separate."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def lines(document: dict[str, Any], out: Path, width: int) -> list[str | Text]:
    """What a person sees at the end: one table, and the sentences."""
    from lowland.app.tables import table, wrapped
    from lowland.evaluation.search_comparison import SearchComparison
    from lowland.report.search_comparison_page import cells

    results = SearchComparison.from_json(document)
    rows = []
    for row in results.ordered:
        of, mean = cells(results, row), row.accuracy
        half = f" ± {mean.high - mean.value:.2f}" if mean.high is not None else ""
        rows.append(
            [
                *(row.name, f"{of['accuracy']}{half}", of["seconds"], of["relative"], of["days"]),
                *(of["flatness"], of["skips"], of["collapsed"]),
            ]
        )
    header = ["search", "accuracy", "time", "× SPOS", "GPU-days", "flatness", "skips", "collapsed"]
    source = "trained by one recipe" if results.accuracy == "retrained" else f"looked up, column {results.accuracy}"
    note = (
        f"{results.seeds} {'seed' if results.seeds == 1 else 'seeds'}; accuracy in percent with 95 % interval, "
        f"{source}; time of the search, and in units of SPOS'; GPU-days as published for CIFAR-10; flatness in one "
        "supernet that no search saw; collapsed: mostly skips, or an output that no input reaches"
    )
    below = [line for text in (note, "", *results.sentences, "") for line in (wrapped(text, width) or [""])]
    places = [f"figures  {out / 'searches.json'}", f"page     {out / 'searches.html'}"]
    return ["", *table(header, rows, width), "", *below, *places]
