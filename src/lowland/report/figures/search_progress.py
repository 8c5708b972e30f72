"""How a multi-objective search went: hypervolume and surrogate accuracy over its iterations, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.ticker import FuncFormatter, MaxNLocator

from lowland.report import text
from lowland.report.figures.marks import legend
from lowland.report.figures.pareto import title
from lowland.report.figures.plots import HEIGHT, WIDTH
from lowland.report.figures.svg import ACCENT, BLUE, GREY, ORANGE, PAPER, PURPLE, figure, inline, styled
from lowland.report.search_facts import Iteration, Pareto

KINDS = {"rbf": (ACCENT, "o"), "cart": (ORANGE, "s"), "mlp": (PURPLE, "D"), "gp": (BLUE, "^")}
"""Kind of surrogate → colour and marker; told apart without colour too."""


def hypervolume(iterations: Sequence[Iteration]) -> str:
    """Hypervolume of the candidates scored up to the end of every iteration."""
    scored = [each.scored for each in iterations]
    volume = [each.hypervolume for each in iterations]
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        axes.axvspan(0, scored[0], color=GREY, alpha=0.12, linewidth=0, zorder=0, label="random sample")
        axes.plot(
            scored, volume, color=ACCENT, linewidth=2, marker="o", markersize=4.5, markeredgecolor=PAPER,
            markeredgewidth=0.8, label="after each iteration", zorder=4, drawstyle="steps-post", clip_on=False,
        )  # fmt: skip
        axes.set_xlim(0, scored[-1] * 1.03)
        spread = max(volume) - min(volume)
        margin = 0.1 * spread or 0.05 * max(volume) or 0.05
        axes.set_ylim(max(0.0, min(volume) - margin), max(volume) + margin)
        axes.set_xlabel("candidates scored")
        axes.set_ylabel("hypervolume (greater is better)")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
        legend(axes)
        said = f"from {volume[0]:.4g} after {scored[0]} to {volume[-1]:.4g} after {scored[-1]} candidates"
        return inline(drawn, "hypervolume", f"Hypervolume {said}.")


def surrogates(pareto: Pareto) -> list[tuple[str, str]]:
    """For every objective that was predicted: what it is called, and τ of its surrogate over the iterations."""
    made: list[tuple[str, str]] = []
    for objective in pareto.objectives:
        fits = [
            (each.iteration, fit)
            for each in pareto.iterations
            for fit in each.fits
            if fit.objective == objective.label and fit.tau is not None
        ]
        if fits:
            name = f"surrogate-{len(made) + 1}"
            taus = [(iteration, fit.kind, fit.tau or 0.0, fit.std or 0.0) for iteration, fit in fits]
            made.append((title(objective), _surrogate(name, title(objective), taus)))
    return made


def _surrogate(name: str, called: str, taus: Sequence[tuple[int, str, float, float]]) -> str:
    with styled():
        drawn = figure(WIDTH, HEIGHT)
        axes = drawn.subplots()
        axes.plot([row[0] for row in taus], [row[2] for row in taus], color=GREY, linewidth=1.2, zorder=2)
        for kind in dict.fromkeys([*KINDS, *(row[1] for row in taus)]):
            chosen = [row for row in taus if row[1] == kind]
            if chosen:
                shade, marker = KINDS.get(kind, (GREY, "v"))
                axes.errorbar(
                    [row[0] for row in chosen], [row[2] for row in chosen], yerr=[row[3] for row in chosen],
                    linestyle="none", marker=marker, markersize=5.5, color=shade, ecolor=shade, elinewidth=1.1,
                    capsize=2.0, markeredgecolor=PAPER, markeredgewidth=0.6, label=text.clean(kind), zorder=4,
                )  # fmt: skip
        axes.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        axes.set_ylim(min(0.0, *(row[2] - row[3] for row in taus)) - 0.05, 1.05)
        axes.set_xlim(taus[0][0] - 0.7, taus[-1][0] + 0.7)
        axes.set_xlabel("iteration")
        axes.set_ylabel(f"cross-validated τ of {text.clean(called)}")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend(axes)
        said = f"from {taus[0][2]:.3g} to {taus[-1][2]:.3g} over {len(taus)} iterations"
        return inline(drawn, name, f"Cross-validated Kendall τ of the surrogate of {called}: {said}.")
