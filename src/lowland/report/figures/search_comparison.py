"""Figures of a comparison of searches: accuracy against time, intervals, average ranks, skips through the epochs."""

from __future__ import annotations

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lowland.evaluation.search_comparison import SearchComparison, SearchRow
from lowland.report.figures.marks import legend
from lowland.report.figures.svg import ACCENT, BLUE, GREY, INK, ORANGE, PURPLE, figure, inline, styled

WIDTH, HEIGHT = 620, 320
HEAD, LINE = 70, 28
"""Height of a plot of rows without them, and of one row; CSS pixels."""

SHADES = (ACCENT, BLUE, ORANGE, PURPLE, INK, GREY)
DASHES = ("-", "--", ":")
MARKS = "osD^vP"


def _looks(results: SearchComparison) -> dict[str, tuple[str, str]]:
    """Colour and marker of each search, the same in all figures."""
    looks = zip(cycle(SHADES), (mark for mark in MARKS for _ in SHADES), strict=False)
    return {row.name: look for row, look in zip(results.rows, looks, strict=False)}


def _range(results: SearchComparison) -> tuple[float, float]:
    """From the least to the greatest accuracy that is shown: of networks that did not collapse, where there are any."""
    whole = [each.accuracy for row in results.rows for each in row.found if not each.collapsed]
    values = whole or [value for row in results.rows for value in row.accuracies]
    room = max(0.5, 0.15 * (max(values) - min(values)))
    return max(0.0, min(values) - room), min(100.0, max(values) + room)


def against_time(results: SearchComparison) -> str:
    """Accuracy of the networks against the wall time of their search, with the interval of the mean."""
    looks = _looks(results)
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        for row in results.rows:
            shade, mark = looks[row.name]
            minutes = [each.seconds / 60 for each in row.found]
            axes.plot(minutes, row.accuracies, color=shade, marker=mark, linestyle="none", markersize=4, alpha=0.45)
            mean = row.accuracy
            if mean.low is not None and mean.high is not None:
                axes.plot([row.seconds / 60] * 2, [mean.low, mean.high], color=shade, linewidth=1.6)
            axes.plot(
                [row.seconds / 60], [mean.value], color=shade, marker=mark, linestyle="none", markersize=8,
                label=row.name,
            )  # fmt: skip
        axes.set_xlabel("wall time of the search, minutes")
        axes.set_ylabel("accuracy of the network, %")
        axes.set_xlim(left=0.0)
        axes.set_ylim(*_range(results))
        legend(axes)
    said = "; ".join(f"{row.name} {row.accuracy.value:.2f} % in {row.seconds / 60:.1f} min" for row in results.ordered)
    return inline(drawn, "time", f"Accuracy against search time: {said}.")


def means(results: SearchComparison) -> str:
    """Mean accuracy of each search with its 95 % interval over seeds, the best on top."""
    rows = results.ordered
    least, most = _range(results)
    with styled():
        drawn = figure(WIDTH, HEAD + LINE * len(rows))
        axes = drawn.subplots()
        for place, row in enumerate(rows):
            axes.plot(row.accuracies, [place] * results.seeds, color=GREY, marker="|", linestyle="none", markersize=9)
            mean = row.accuracy
            if mean.low is not None and mean.high is not None:
                axes.plot([mean.low, mean.high], [place, place], color=ACCENT, linewidth=1.8)
            axes.plot([mean.value], [place], color=ACCENT, marker="o", linestyle="none", markersize=7)
            for value in (*row.accuracies, mean.value):
                if value < least:
                    axes.plot([least], [place], color=GREY, marker="<", linestyle="none", markersize=7, clip_on=False)
        axes.set_xlim(least, most)
        _names(axes, [row.name for row in rows])
        axes.set_xlabel("accuracy of the network, %: each seed, mean and 95 % interval")
    return inline(drawn, "means", f"Mean accuracies, best first: {', '.join(row.name for row in rows)}.")


def ranks(results: SearchComparison) -> str | None:
    """Average ranks with Nemenyi's critical difference; None with fewer than three seeds or searches."""
    found = results.ranks
    if found is None:
        return None
    average, difference, _ = found
    rows = sorted(zip(average, results.rows, strict=True), key=lambda pair: pair[0])
    with styled():
        drawn = figure(WIDTH, HEAD + LINE * (len(rows) + 1))
        axes = drawn.subplots()
        best = rows[0][0]
        axes.axvspan(best, best + difference, color=GREY, alpha=0.18, label="not told from the first at 5 %")
        for place, (rank, _row) in enumerate(rows):
            axes.plot([rank], [place], color=ACCENT, marker="o", linestyle="none", markersize=7)
        _names(axes, [row.name for _, row in rows])
        axes.set_xlabel(f"average rank over {results.seeds} seeds; critical difference {difference:.2f}")
        legend(axes)
    said = ", ".join(f"{row.name} {rank:.1f}" for rank, row in rows)
    return inline(drawn, "ranks", f"Average ranks: {said}; critical difference {difference:.2f}.")


def skips(results: SearchComparison) -> str | None:
    """Skip connections of the genotype after each epoch, every seed a line; None without searches by gradients."""
    rows = [row for row in results.rows if any(each.epochs for each in row.found)]
    if not rows:
        return None
    looks = _looks(results)
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        for row in rows:
            _skips_of(axes, row, looks[row.name][0], DASHES[results.rows.index(row) // len(SHADES) % len(DASHES)])
        axes.set_xlabel("share of the search, %")
        axes.set_ylabel("skip connections, mean over kinds of cells")
        axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_ylim(bottom=-0.2)
        legend(axes)
    said = "; ".join(f"{row.name}: {row.collapsed} of {results.seeds} collapsed" for row in rows)
    return inline(drawn, "skips", f"Skip connections through the epochs. {said}.")


def _skips_of(axes: Axes, row: SearchRow, shade: str, dash: str) -> None:
    label: str | None = row.name
    for each in row.found:
        count = len(each.epochs)
        if not count:
            continue
        share = [100 * (place + 1) / count for place in range(count)]
        mean = [sum(epoch.skips.values()) / len(epoch.skips) for epoch in each.epochs]
        axes.plot(share, mean, color=shade, linestyle=dash, linewidth=1.3, alpha=0.8, label=label)
        label = None
    operations = row.found[0].operations
    if operations is not None:
        axes.axhline(operations / 2, color=GREY, linewidth=0.8, linestyle=":")


def _names(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)  # the first on top
    axes.grid(visible=False, axis="y")
