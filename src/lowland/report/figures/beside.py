"""Figures of several runs in one: results with intervals, losses of training, and losses under weight noise."""

from __future__ import annotations

from lowland.evaluation.section import Line, Series
from lowland.report.beside import Beside, Result
from lowland.report.figures.marks import legend
from lowland.report.figures.overlay import LOOKS, overlaid
from lowland.report.figures.svg import figure, inline, styled

WIDTH, HEAD, ROW = 480, 90, 16
"""Width of the plot; its height without rows, and of one run in one row; CSS pixels."""

BETWEEN = 14
"""Room between two results, CSS pixels."""


def intervals(found: Beside) -> str | None:
    """Every result in percent that at least two runs have, with its 95 % interval; None where there is none."""
    rows = [row for row in found.results if row.unit == "%" and len(_intervals(row)) >= 2]
    if not rows:
        return None
    step = 1 / (len(found.letters) + 1)
    with styled():
        drawn = figure(WIDTH, HEAD + len(rows) * (ROW * len(found.letters) + BETWEEN))
        axes = drawn.subplots()
        for run, letter in enumerate(found.letters):
            shade, marker, _ = LOOKS[run % len(LOOKS)]
            x, y = [], []
            for place, row in enumerate(rows):
                interval = _intervals(row).get(run)
                if interval is None:
                    continue
                low, value, high = interval
                height = place - 0.5 + (run + 1) * step
                axes.plot([low, high], [height, height], color=shade, linewidth=1.8, zorder=2)
                x.append(value)
                y.append(height)
            axes.plot(x, y, color=shade, marker=marker, linestyle="none", markersize=6, label=letter, zorder=3)
        axes.set_yticks(range(len(rows)), [row.name for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)  # the first on top
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("percent")
        legend(axes, columns=8)
    said = "; ".join(
        f"{row.name}: "
        + ", ".join(f"{found.letters[run]} {value:.1f}" for run, (_, value, _) in _intervals(row).items())
        for row in rows
    )
    return inline(drawn, "intervals", f"Results with 95 % intervals. {said}.")


def losses(found: Beside) -> str | None:
    """Loss per epoch of the delivered network of every run that trained one."""
    lines = [
        Line(
            label=letter,
            x=tuple(float(epoch.epoch) for epoch in facts.training.epochs),
            y=tuple(epoch.loss for epoch in facts.training.epochs),
        )
        for letter, facts in zip(found.letters, found.facts, strict=True)
        if facts.training is not None and facts.training.epochs
    ]
    if not lines:
        return None
    return overlaid(Series(x_label="epoch", y_label="training loss, nats", lines=tuple(lines)), "losses")


def noise(found: Beside) -> str | None:
    """Loss against σ of the delivered network of every run whose landscape was measured."""
    lines = [
        Line(label=letter, x=tuple(curve.sigmas), y=tuple(curve.loss), errors=tuple(curve.errors))
        for letter, facts in zip(found.letters, found.facts, strict=True)
        for curve in facts.curves
        if curve.kind == "retrained"
    ]
    if not lines:
        return None
    label = "σ, standard deviation of the weight noise"
    return overlaid(Series(x_label=label, y_label="cross-entropy, nats", lines=tuple(lines)), "noise")


def _intervals(row: Result) -> dict[int, tuple[float, float, float]]:
    """By place of the run: the interval's low end, the value, its high end."""
    found = {}
    for run, each in enumerate(row.runs):
        if each is not None and each.interval is not None and not isinstance(each.value, str):
            found[run] = (each.interval[0], each.value, each.interval[1])
    return found
