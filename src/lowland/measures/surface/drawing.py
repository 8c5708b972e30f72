"""Pictures of a loss surface, each drawn on axes that the caller styles: a notebook's, or those of a page."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from lowland.measures.curvature.density import SpectralDensity
from lowland.measures.surface.slices import Slice

if TYPE_CHECKING:
    from lowland.measures.surface.result import Flatness

LEVELS = 12
"""Contours of a slice."""

SHADES = ("#7fbfb4", "#4f9fb4", "#3a79ad", "#45509a", "#46256e")
"""From low to high loss."""

LINE = "#0f6e66"

AXES = {
    "random": ("first random direction, filter norms", "second random direction, filter norms"),
    "hessian": ("first eigenvector", "second eigenvector"),
}


def noise(axes: Axes, found: Flatness) -> None:
    """Loss against the strength of weight noise, ± one standard error."""
    sigmas = np.array([0.0, *found.sigmas])
    losses = np.array([found.loss, *found.noisy_losses])
    errors = np.array([error or 0.0 for error in (found.loss_se, *found.noisy_losses_se)])
    axes.plot(sigmas, losses, color=LINE, linewidth=2, marker="o", markersize=4)
    axes.fill_between(sigmas, losses - errors, losses + errors, color=LINE, alpha=0.15, linewidth=0)
    axes.set_xlabel("σ, standard deviation of the weight noise")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(5))


def density(axes: Axes, found: SpectralDensity) -> None:
    """Spectral density on a logarithmic scale, ± one standard error over random vectors."""
    values = np.array(found.values)
    floor = max(values.max() * 1e-7, np.finfo(np.float64).tiny)
    axes.plot(found.grid, np.maximum(values, floor), color=LINE, linewidth=1.5)
    if found.errors is not None:
        errors = np.array(found.errors)
        low, high = np.maximum(values - errors, floor), np.maximum(values + errors, floor)
        axes.fill_between(found.grid, low, high, color=LINE, alpha=0.15, linewidth=0)
    axes.set_yscale("log")
    axes.set_ylim(bottom=floor)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # a page has no mathematical text
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("eigenvalue λ of the Hessian")
    axes.set_ylabel("density, share per unit of λ")


def extent(found: Slice) -> tuple[float, float]:
    """The least and the greatest finite loss of a slice; zeros where there is none."""
    finite = [loss for row in found.losses for loss in row if loss is not None]
    return (min(finite), max(finite)) if finite else (0.0, 0.0)


def contours(axes: Axes, found: Slice, between: tuple[float, float] | None = None) -> None:
    """Contours of a slice, at levels evenly spaced in log(1 + rise above the lowest point), some with their loss.

    Args:
        axes: Where to draw.
        found: The slice.
        between: Least and greatest loss that levels are spaced between, so that several slices have the same ones;
            None: its own.
    """
    losses = np.array([[np.nan if loss is None else loss for loss in row] for row in found.losses])
    low, high = extent(found) if between is None else between
    rises = np.expm1(np.linspace(0.0, np.log1p(high - low), LEVELS + 2))[1:-1]
    levels = np.unique(low + rises)
    own_low, own_high = extent(found)
    axes.set_aspect("equal")
    axes.set_xlim(found.coordinates[0], found.coordinates[-1])
    axes.set_ylim(found.coordinates[0], found.coordinates[-1])
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    if own_high > own_low and len(levels) > 1 and ((levels > own_low) & (levels < own_high)).any():
        shades = [SHADES[place * len(SHADES) // len(levels)] for place in range(len(levels))]
        lines = axes.contour(
            found.coordinates, found.coordinates, np.ma.masked_invalid(losses), levels=levels, colors=shades,
            linewidths=1.2,
        )  # fmt: skip
        axes.clabel(lines, levels=[each for each in levels[::2] if own_low < each < own_high], fontsize=8, fmt="%.3g")
    axes.plot([0], [0], marker="+", color=LINE, markersize=10, markeredgewidth=1.5)
    x, y = AXES[found.plane]
    if found.eigenvalues:
        x, y = (f"{name}, λ = {value:.3g}" for name, value in zip((x, y), found.eigenvalues, strict=True))
    axes.set_xlabel(x)
    axes.set_ylabel(y)


def pictures(found: Flatness) -> list[tuple[str, Callable[[Axes], None]]]:
    """Everything that can be drawn of a result: a caption, and what draws it."""
    drawn: list[tuple[str, Callable[[Axes], None]]] = [("Loss under weight noise", lambda axes: noise(axes, found))]
    spectrum = None if found.curvature is None else found.curvature.density
    if spectrum is not None:
        drawn.append(("Spectral density of the Hessian", lambda axes: density(axes, spectrum)))
    for each in found.slices:
        along = "random, filter-normalised directions" if each.plane == "random" else "the top two eigenvectors"
        drawn.append((f"Loss along {along}", partial(contours, found=each)))
    return drawn


def overview(found: Flatness) -> Figure:
    """All pictures of a result in one row."""
    drawn = pictures(found)
    made = Figure(figsize=(4.6 * len(drawn), 4.0), layout="constrained")
    row = made.subplots(1, len(drawn), squeeze=False)[0]
    for axes, (caption, draw) in zip(row, drawn, strict=True):
        draw(axes)
        axes.set_title(caption, fontsize=10)
    return made
