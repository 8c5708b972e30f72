"""The interval plot of a comparison: differences of the delivered network to each reference, with 95 % intervals."""

from __future__ import annotations

from lowland.evaluation.comparison import ComparisonResults, signed
from lowland.evaluation.paired import Difference
from lowland.report.figures.svg import ACCENT, GREY, ORANGE, figure, inline, styled

WIDTH, HEAD, LINE = 620, 84, 38
"""Width of the plot; its height without rows, and of one row; CSS pixels."""


def intervals(results: ComparisonResults) -> str:
    """Right of zero the delivered network is more accurate; above each other top-1, and accuracy under corruption."""
    rows = results.references
    with styled():
        drawn = figure(WIDTH, HEAD + LINE * len(rows))
        axes = drawn.subplots()
        axes.axvline(0, color=GREY, linewidth=1.2, zorder=1)
        for kind, shift, shade, marker in (("top-1", -0.14, ACCENT, "o"), ("under corruption", 0.14, ORANGE, "s")):
            found = [
                (place + shift, difference)
                for place, row in enumerate(rows)
                if (difference := row.difference if kind == "top-1" else row.corrupted_difference) is not None
            ]
            for place, difference in found:
                if difference.low is not None and difference.high is not None:
                    axes.plot([difference.low, difference.high], [place, place], color=shade, linewidth=1.8, zorder=2)
            if found:
                axes.plot(
                    [difference.value for _, difference in found],
                    [place for place, _ in found],
                    color=shade,
                    marker=marker,
                    linestyle="none",
                    markersize=7,
                    label=kind,
                    zorder=3,
                )
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("delivered network minus reference, percentage points")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
    return inline(drawn, "intervals", f"Differences to {len(rows)} references. {_alt(results)}")


def _alt(results: ComparisonResults) -> str:
    return "; ".join(f"{row.name}: {_with_interval(row.difference)}" for row in results.references)


def _with_interval(difference: Difference | None) -> str:
    if difference is None or difference.low is None or difference.high is None:
        return "no interval"
    return f"{signed(difference.value)} points, {signed(difference.low)} to {signed(difference.high)}"
