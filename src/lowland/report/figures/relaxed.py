"""Epochs of a gradient search: skip connections of its genotypes, and the loss from which it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from lowland.report import text
from lowland.report.figures.marks import legend
from lowland.report.figures.svg import ACCENT, BLUE, GREY, INK, ORANGE, figure, inline, styled
from lowland.report.search_facts import Relaxed

WIDTH, HEIGHT = 448.0, 300.0
SHADES = (ACCENT, ORANGE, BLUE)
"""Of kinds of cells."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the section shows.

    Attributes:
        skips: Figure of the skips by epoch.
        losses: Figure of the validation loss by epoch; empty where there was none.
        found: Skips of the genotype found, by kind of cell.
        collapsed: Whether they are more than half of its operations.
    """

    skips: str
    losses: str
    found: tuple[tuple[str, int], ...]
    collapsed: bool


def drawn(facts: Relaxed) -> Drawn:
    """The figures of a search and what is to be said of its end."""
    last = next((each for each in facts.epochs if each.epoch == facts.chosen), facts.epochs[-1])
    said = " and ".join(f"{count} in the {kind}" for kind, count in last.skips.items())
    losses = ""
    with styled():
        skips = _by_epoch(facts, "skips", "skip connections", _skips, f", {said} in the end")
        if any(each.validation_loss is not None for each in facts.epochs):
            losses = _by_epoch(facts, "validation-loss", "validation loss, nats", _losses, "")
    collapsed = 2 * sum(last.skips.values()) > facts.operations * len(last.skips)
    return Drawn(skips, losses, tuple(last.skips.items()), collapsed)


def _by_epoch(facts: Relaxed, name: str, title: str, draw: Callable[[Axes, Relaxed], None], said: str) -> str:
    made = figure(WIDTH, HEIGHT)
    axes = made.subplots()
    draw(axes, facts)
    if facts.chosen is not None:
        axes.axvline(facts.chosen, color=INK, linewidth=0.9, linestyle=":", label="chosen")
    axes.set_xlabel("epoch")
    axes.set_ylabel(title)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend(axes)
    return inline(made, name, f"{title} by epoch{said}.")


def _skips(axes: Axes, facts: Relaxed) -> None:
    epochs = [each.epoch for each in facts.epochs]
    for kind, shade in zip(facts.epochs[0].skips, SHADES, strict=False):
        skips = [each.skips[kind] for each in facts.epochs]
        axes.step(epochs, skips, where="mid", color=shade, linewidth=1.6, label=text.clean(kind))
    axes.axhline(facts.operations, color=GREY, linewidth=0.8, linestyle="--", label="all")
    axes.set_ylim(-0.3, facts.operations + 0.5)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))


def _losses(axes: Axes, facts: Relaxed) -> None:
    learnt = [(each.epoch, each.validation_loss) for each in facts.epochs if each.validation_loss is not None]
    axes.plot([epoch for epoch, _ in learnt], [loss for _, loss in learnt], color=BLUE, linewidth=1.6, label="mixture")
