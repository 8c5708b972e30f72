"""What `lowland.flatness` finds: figures with standard errors, as text, HTML, JSON and pictures."""

from __future__ import annotations

import html
import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from lowland.measures.curvature.curvature import Curvature
from lowland.measures.surface.sharpness import Sharpness
from lowland.measures.surface.slices import Slice

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Line = tuple[str, float | None, float | None, str]
"""Name, value, standard error and unit of a figure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flatness:
    """How flat and how deep the minimum is that a model lies in.

    Attributes:
        flatness: F = 1/(slopes + α·depth) (GeNAS Eq. 4), in units of σ per loss; greater is flatter and deeper.
        flatness_se: Its standard error over images and, from two draws on, over draws of the noise.
        slopes: Sum of |ΔL/Δσ| between noise levels, loss per unit of σ.
        depth: L(σ₁)/σ₁, loss per unit of σ.
        loss: Mean loss of the clean model; cross-entropy in nats, or the unit of `loss_fn`.
        loss_se: Its standard error over images, or over batches where `loss_fn` gives one loss for each.
        accuracy: Top-1 accuracy of the clean model, in [0, 1]; None of a `loss_fn`, which knows no classes.
        accuracy_se: Its binomial standard error.
        sigmas: Noise levels: standard deviations of the noise on each weight (fractions of the weight if `relative`).
        noisy_losses: Mean loss at each level.
        noisy_losses_se: Their standard errors.
        alpha: Weight α of the depth.
        draws: Number of noise draws K at each level (mirrored pairs count once).
        antithetic: Whether every draw was also evaluated mirrored.
        relative: Whether the noise was scaled by each weight.
        images: Number of images N.
        parameters: Number of scalar weights that were perturbed.
        seed: Seed of the noise.
        curvature: Trace, largest eigenvalues and spectral density of the Hessian, where asked for.
        sharpness: Rise of the loss after one step of ascent, for every radius asked for.
        slices: Loss on grids in planes through the weights, as asked for.
        notes: What a person should know of how these came about.
    """

    flatness: float
    flatness_se: float | None
    slopes: float
    depth: float
    loss: float
    loss_se: float | None
    accuracy: float | None
    accuracy_se: float | None
    sigmas: tuple[float, ...]
    noisy_losses: tuple[float, ...]
    noisy_losses_se: tuple[float | None, ...]
    alpha: float
    draws: int
    antithetic: bool
    relative: bool
    images: int
    parameters: int
    seed: int
    curvature: Curvature | None = None
    sharpness: tuple[Sharpness, ...] = ()
    slices: tuple[Slice, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def summary(self) -> str:
        """A small table for people: every figure with its standard error, and the sample sizes."""
        mirrored = "mirrored " if self.antithetic else ""
        kind = "relative" if self.relative else "absolute"
        lines = [
            f"flatness  {with_error(self.flatness, self.flatness_se)}  (α = {self.alpha:g}; greater is flatter)",
            f"slopes    {self.slopes:.4g} loss per unit of σ",
            f"depth     {self.depth:.4g} loss per unit of σ",
        ]
        if self.accuracy is not None:
            lines.append(f"accuracy  {with_error(self.accuracy, self.accuracy_se)}")
        lines += ["", "       σ  loss", f"{'0':>8}  {with_error(self.loss, self.loss_se)}"]
        errors = zip(self.sigmas, self.noisy_losses, self.noisy_losses_se, strict=True)
        lines += [f"{sigma:>8g}  {with_error(loss, error)}" for sigma, loss, error in errors]
        more = self.figures()
        if more:
            width = max(len(name) for name, *_ in more)
            lines += ["", *(f"{name:<{width}}  {with_error(value, error)}{unit}" for name, value, error, unit in more)]
        lines += [
            "",
            f"{self.images} images, {self.draws} {mirrored}{'draw' if self.draws == 1 else 'draws'} of {kind} noise "
            f"on {self.parameters:,} weights, seed {self.seed}; ± is one standard error",
            *self.notes,
        ]
        return "\n".join(lines)

    def figures(self) -> list[Line]:
        """The figures beyond weight noise, for tables."""
        found: list[Line] = []
        if self.curvature is not None:
            found.append(("trace of the Hessian", self.curvature.trace, self.curvature.trace_se, ""))
            for place, each in enumerate(self.curvature.eigenvalues, start=1):
                unit = f" (residual {each.residual:.2g})"
                found.append((f"eigenvalue {place}", each.value, each.standard_error, unit))
            if self.curvature.density is not None:
                found.append(("smallest node of the spectrum", self.curvature.density.smallest, None, ""))
        for rise in self.sharpness:
            name = f"{'adaptive ' if rise.adaptive else ''}sharpness, ρ = {rise.rho:g}"
            found.append((name, rise.rise, rise.rise_se, ""))
            found.append((f"{name}, by batch", rise.by_batch, rise.by_batch_se, ""))
        for cut in self.slices:
            inside = [loss for row in cut.losses for loss in row if loss is not None]
            lost = f"; not finite at {cut.not_finite} points" if cut.not_finite else ""
            reach = f" (the greatest loss within ±{cut.coordinates[-1]:g}{lost})"
            found.append((f"slice, {cut.plane}", max(inside, default=None), None, reach))
        return found

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows: list[Line] = [
            ("flatness", self.flatness, self.flatness_se, ""),
            ("slopes", self.slopes, None, " per σ"),
            ("depth", self.depth, None, " per σ"),
            ("loss", self.loss, self.loss_se, ""),
        ]
        if self.accuracy is not None:
            rows.append(("accuracy", self.accuracy, self.accuracy_se, ""))
        rows += [
            (f"loss at σ = {sigma:g}", loss, error, "")
            for sigma, loss, error in zip(self.sigmas, self.noisy_losses, self.noisy_losses_se, strict=True)
        ]
        body = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(with_error(value, error) + unit)}</td></tr>"
            for name, value, error, unit in [*rows, *self.figures()]
        )
        notes = html.escape("; ".join([f"{self.images} images, {self.parameters:,} weights", *self.notes]))
        return f"<div><table><tbody>{body}</tbody></table><p>{notes}</p></div>"

    def to_json(self) -> str:
        """All figures as one JSON object."""
        return json.dumps(self.to_dict(), allow_nan=False)

    def to_dict(self) -> dict[str, Any]:
        """All figures as plain values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return found

    def plot(self) -> Figure:
        """Draw what was measured, side by side: loss against noise, spectral density, slices.

        Returns:
            A matplotlib figure, which a notebook shows and `savefig` writes.
        """
        from lowland.measures.surface.drawing import overview

        return overview(self)


def with_error(value: float | None, error: float | None) -> str:
    """`value ± error`, the error with two significant digits and the value with as many decimals."""
    if value is None:
        return "–"
    if not error:
        return f"{value:.6g}"
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
