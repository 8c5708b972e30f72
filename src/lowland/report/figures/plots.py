"""Plots: search progress, score against size, loss against weight noise, and training curves, each as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from lowland.evaluation.section import Series
from lowland.report.facts import Curve, Training
from lowland.report.figures.marks import legend, ring
from lowland.report.figures.svg import ACCENT, BLUE, GREY, ORANGE, PAPER, PURPLE, figure, inline, styled
from lowland.report.search_facts import MOST_CANDIDATES, ScoredCandidate, Search, sample
from lowland.report.text import clean

WIDTH, HEIGHT = 440, 300
"""Size of every plot, CSS pixels: two stand side by side on a desk, one on a phone."""

ORIGINS = {"random": (GREY, "o"), "mutation": (BLUE, "^"), "crossover": (ORANGE, "s")}
"""Origin of a candidate → colour and marker; told apart without colour too."""

MOST_POINTS = MOST_CANDIDATES
"""More candidates than this are thinned evenly (improvements and the winner always stay), to keep the page small."""


def progress(search: Search) -> str:
    """Score, or place, of each candidate in order of evaluation, and the best so far."""
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        kept = thinned(search)
        steps = [candidate.index + 1 for candidate in kept]
        best = np.maximum.accumulate([_height(candidate) for candidate in kept])
        _points(axes, kept, steps)
        # Every improvement is among those kept.
        axes.step(
            [*steps, search.count],
            [*best, best[-1]],
            where="post",
            color=ACCENT,
            linewidth=2,
            label="best so far",
            zorder=4,
        )
        ring(axes, (winner(search).index + 1, _height(winner(search))), MARKED[search.delivered])
        below = _height_axis(axes, search, kept)
        axes.set_xlabel("candidate, in order of evaluation" + below)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(_grouped))
        legend(axes)
        shown, final = ("Places", "") if search.ordered else ("Scores", f"; the best so far rises to {best[-1]:.4g}")
        alt = f"{shown} of {search.count} candidates in order of evaluation{final}."
        return inline(drawn, "progress", alt)


def size(search: Search) -> str:
    """Score, or place, of each candidate against its number of parameters."""
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        kept = thinned(search)
        _points(axes, kept, [candidate.parameters / 1e6 for candidate in kept])
        ring(axes, (winner(search).parameters / 1e6, _height(winner(search))), MARKED[search.delivered])
        below = _height_axis(axes, search, kept)
        axes.set_xlabel("parameters, millions" + below)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        legend(axes)
        shown = "Places" if search.ordered else "Scores"
        return inline(drawn, "size", f"{shown} of {search.count} candidates against their number of parameters.")


MARKED = {True: "winner", False: "best of these"}
"""What the ring marks, by whether it is the delivered network."""


def winner(search: Search) -> ScoredCandidate:
    """The candidate whose index the search names as its winner."""
    return next(candidate for candidate in search.candidates if candidate.index == search.winner)


def thinned(search: Search) -> list[ScoredCandidate]:
    """At most MOST_POINTS candidates: every improvement, the winner, and an even choice of the rest."""
    candidates = sorted(search.candidates, key=lambda candidate: candidate.index)
    heights_N = np.array([_height(candidate) for candidate in candidates])
    first = next(place for place, candidate in enumerate(candidates) if candidate.index == search.winner)
    return [candidates[place] for place in sample(heights_N, first, MOST_POINTS)]


def _height(candidate: ScoredCandidate) -> float:
    """How high a candidate is drawn: its score, or where that is only an order its place, the first one highest."""
    return candidate.score if candidate.place is None else -float(candidate.place)


def _grouped(value: float, _: object = None) -> str:
    return f"{value:,.0f}"


def landscape(curves: Sequence[Curve], name: str) -> str:
    """Loss against the strength of weight noise; a band is ± one standard error over noise draws."""
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        palette = {"winner": [ACCENT], "random": [GREY], "retrained": [ACCENT, BLUE, ORANGE, PURPLE]}
        counts = dict.fromkeys(palette, 0)
        for curve in sorted(curves, key=lambda curve: curve.kind != "random"):
            order = counts[curve.kind]
            counts[curve.kind] += 1
            shade = palette[curve.kind][order % len(palette[curve.kind])]
            quiet = curve.kind == "random"
            label = clean(curve.label) if not quiet else (None if order else _several(curves))
            axes.plot(
                curve.sigmas,
                curve.loss,
                color=shade,
                linewidth=1.1 if quiet else 2.2,
                marker=None if quiet else "o",
                markersize=4.5,
                markeredgecolor=PAPER,
                markeredgewidth=0.8,
                label=label,
                zorder=2 if quiet else 4,
            )
            loss = np.array(curve.loss)
            error = np.array([0.0 if value is None else value for value in curve.errors])
            low = np.maximum(loss - error, 0.5 * loss)
            axes.fill_between(curve.sigmas, low, loss + error, color=shade, alpha=0.15, linewidth=0, zorder=1)
        losses = [value for curve in curves for value in curve.loss]
        if min(losses) > 0 and max(losses) / min(losses) > 10:
            logarithmic(axes, min(losses), max(losses))
        axes.set_xlabel("σ, standard deviation of the weight noise")
        axes.set_ylabel("cross-entropy, nats")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        legend(axes)
        return inline(drawn, name, "Loss against the strength of weight noise: " + "; ".join(map(_said, curves)) + ".")


def lines(series: Series, name: str) -> str:
    """Lines over one axis; a band is ± one standard error, where there is one."""
    shades = (ACCENT, BLUE, ORANGE, PURPLE, GREY)
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        for place, line in enumerate(series.lines):
            shade = shades[place % len(shades)]
            axes.plot(line.x, line.y, color=shade, linewidth=2, marker="o", markersize=4, label=clean(line.label))
            if line.errors:
                y = np.array(line.y)
                error = np.array([0.0 if value is None else value for value in line.errors])
                axes.fill_between(line.x, y - error, y + error, color=shade, alpha=0.15, linewidth=0, zorder=1)
        axes.set_xlabel(clean(series.x_label))
        axes.set_ylabel(clean(series.y_label))
        legend(axes)
        said = "; ".join(f"{clean(each.label)} ends at {each.y[-1]:.3g}" for each in series.lines if each.y)
        return inline(drawn, name, f"{clean(series.y_label)} against {clean(series.x_label)}: {said}.")


def training(facts: Training) -> list[str]:
    """Loss per epoch and, where it was recorded, accuracy per epoch."""
    epochs = [epoch.epoch for epoch in facts.epochs]
    made = [
        _per_epoch(
            "training-loss",
            "cross-entropy, nats",
            epochs,
            [epoch.loss for epoch in facts.epochs],
            [epoch.watched_loss for epoch in facts.epochs],
            facts.watched,
        )
    ]
    if any(epoch.accuracy is not None or epoch.watched_accuracy is not None for epoch in facts.epochs):
        made.append(
            _per_epoch(
                "training-accuracy",
                "top-1 accuracy, %",
                epochs,
                [epoch.accuracy for epoch in facts.epochs],
                [epoch.watched_accuracy for epoch in facts.epochs],
                facts.watched,
            )
        )
    return made


def _per_epoch(
    name: str,
    unit: str,
    epochs: Sequence[int],
    trained: Sequence[float | None],
    watched: Sequence[float | None],
    watched_on: str,
) -> str:
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        alt = []
        for values, shade, marker, label in (
            (trained, ACCENT, "o", "training images"),
            (watched, ORANGE, "s", clean(watched_on) or "held-out images"),
        ):
            there = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if value is not None]
            if not there:
                continue
            x, y = zip(*there, strict=True)
            few = len(x) <= 30
            axes.plot(x, y, color=shade, linewidth=2, marker=marker if few else None, markersize=4, label=label)
            alt.append(f"{label} from {y[0]:.3g} to {y[-1]:.3g}")
        axes.set_xlabel("epoch")
        axes.set_ylabel(unit)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend(axes)
        return inline(drawn, name, f"{unit} per epoch: {'; '.join(alt)}.")


def _points(axes: Axes, candidates: Sequence[ScoredCandidate], x: Sequence[float]) -> None:
    """One dot per candidate, by origin."""
    known = dict.fromkeys([*ORIGINS, *(candidate.origin for candidate in candidates)])
    for origin in known:
        shade, marker = ORIGINS.get(origin, (PURPLE, "D"))
        chosen = [place for place, candidate in enumerate(candidates) if candidate.origin == origin]
        if chosen:
            axes.plot(
                [x[place] for place in chosen],
                [_height(candidates[place]) for place in chosen],
                color=shade,
                marker=marker,
                linestyle="none",
                markersize=4,
                markeredgewidth=0,
                alpha=0.55,
                label=clean(origin),
                zorder=2,
            )


def _height_axis(axes: Axes, search: Search, kept: Sequence[ScoredCandidate]) -> str:
    """Name the axis of scores, or of places; says how many candidates lie below it."""
    if not search.ordered:
        axes.set_ylabel("score (greater is better)")
        return _focus(axes, kept)
    axes.set_ylabel("place by the measure (1 is best)")
    axes.set_ylim(-1.04 * search.count, 0.04 * search.count - 1)
    axes.set_yticks([-1.0, *(-search.count * part / 4 for part in (1, 2, 3, 4) if search.count >= 4)])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _grouped(-value)))
    return ""


def _focus(axes: Axes, kept: Sequence[ScoredCandidate]) -> str:
    """Keep a few very low scores from flattening the rest; says how many of those drawn lie below the axis."""
    scores = np.array([candidate.score for candidate in kept])
    low, high = np.quantile(scores, [0.05, 0.95])
    floor = low - 1.0 * (high - low)
    below = int((scores < floor).sum())
    if not below or high == low:
        return ""
    top = float(scores.max())
    axes.set_ylim(floor - 0.04 * (top - floor), top + 0.06 * (top - floor))
    return f"  ({below} below the axis)"


def logarithmic(axes: Axes, low: float, high: float) -> None:
    """A logarithmic loss axis with plain numbers at 1, 2, 5 times powers of ten."""
    axes.set_yscale("log")
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1, 2, 5) if high / low < 300 else (1,)
    axes.set_yticks([step * 10.0**decade for decade in decades for step in steps])
    axes.set_ylim(low * 0.8, high * 1.25)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="y", which="minor", length=0)


def _several(curves: Sequence[Curve]) -> str:
    count = sum(curve.kind == "random" for curve in curves)
    return f"{count} random genotypes" if count > 1 else "a random genotype"


def _said(curve: Curve) -> str:
    return (
        f"{clean(curve.label)} goes from {curve.loss[0]:.3g} at σ = {curve.sigmas[0]:g} "
        f"to {curve.loss[-1]:.3g} at σ = {curve.sigmas[-1]:g}"
    )
