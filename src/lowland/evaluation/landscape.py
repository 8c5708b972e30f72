"""The loss landscape around a network: loss against the strength σ of Gaussian weight noise (GeNAS Figures 2 and 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import nn

from lowland.core.config import Config as RunConfig
from lowland.core.errors import ConfigError, LowlandError, NotFiniteError
from lowland.core.genotype import Genotype
from lowland.core.settings import NonNegative, Positive, Section
from lowland.data import DataSet, order
from lowland.evaluation.classification import standard_error
from lowland.evaluation.results import Curve, CurveKind, LandscapeResults
from lowland.evaluation.section import Figure, Line, Series, SuiteSection
from lowland.evaluation.suite import Effort, EvaluationContext, LossAt, Suite, register
from lowland.measures.landscape import evaluator, loss_under_noise


def loss_curve(
    loss_at: Callable[[float, int], float],
    sigmas: Sequence[float],
    draws: int,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """L(σ) = mean over draws of the loss with noise N(0, σ²) added to the weights.

    A flat minimum shows as a curve that stays low while σ grows. At σ = 0 all draws agree, so it is evaluated once.

    Args:
        loss_at: (σ, draw) → mean cross-entropy in nats; the same arguments must give the same loss.
        sigmas: Standard deviations of the noise, ≥ 0, in the unit of the weights.
        draws: Independent noise draws per σ, ≥ 1.
        progress: Called with (evaluations done, in all).

    Returns:
        `sigmas`; `loss`, the mean loss at each, nats; `standard_error` over the draws at each (0 at σ = 0; None where
        there is a single draw); and `draws`.

    Raises:
        ConfigError: a σ is negative or not finite, there is none, or `draws` < 1.
        NotFiniteError: a loss is NaN or infinite.
    """
    if not sigmas or any(not math.isfinite(sigma) or sigma < 0 for sigma in sigmas):
        raise ConfigError(
            f"evaluate.options.landscape.sigmas must be one or more finite values ≥ 0, got {list(sigmas)}"
        )
    if draws < 1:
        raise ConfigError(f"evaluate.options.landscape.draws must be at least 1, got {draws}")
    total = sum(draws if sigma > 0 else 1 for sigma in sigmas)
    done = 0
    means: list[float] = []
    errors: list[float | None] = []
    for sigma in sigmas:
        losses: list[float] = []
        for draw in range(draws if sigma > 0 else 1):
            try:
                losses.append(float(loss_at(sigma, draw)))
            except NotFiniteError:
                losses.append(math.nan)
            if not math.isfinite(losses[-1]):
                raise NotFiniteError(
                    f"the loss with weight noise σ = {sigma:g} is not finite (draw {draw}); "
                    "leave large values out of evaluate.options.landscape.sigmas, or use compute.precision=fp32"
                )
            done += 1
            if progress is not None:
                progress(done, total)
        values = torch.tensor(losses, dtype=torch.float64)
        means.append(float(values.mean()))
        errors.append(standard_error(values) if sigma > 0 else 0.0)
    return {"sigmas": [float(sigma) for sigma in sigmas], "loss": means, "standard_error": errors, "draws": draws}


@register
class LandscapeSuite(Suite[LandscapeResults]):
    """Loss against σ: winner and random genotypes with inherited weights, and the trained winner (Fig. 2 and 3).

    On the search split, never on test images. (The trained network may have learned from that split too; its curve
    shows the shape of the minimum, not generalisation.)
    """

    name = "landscape"
    summary = "loss against weight noise: found and random genotypes as inherited, and the trained network"
    source = "GeNAS Fig. 2, 3 (arXiv:2309.02721)"

    class Config(Section):
        """How the curves are drawn."""

        sigmas: tuple[NonNegative, ...] = Field(
            (0.0, 2e-3, 5e-3, 1e-2, 2e-2, 4e-2), description="standard deviations σ of the noise on all weights"
        )
        draws: Positive = Field(3, description="independent noise draws per σ")
        images: Positive = Field(500, description="search-split images behind the curves")
        random_genotypes: Annotated[int, Field(ge=0)] = Field(8, description="random genotypes beside the winner")

    Results = LandscapeResults
    requires = ("supernet",)
    shared = (
        "measure.batch_size",
        "measure.calibration",
        "measure.calibration_images",
        "network",
        "search.max_params",
        "search.max_macs",
    )

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError where there is no σ."""
        if not self.config.sigmas:
            raise ConfigError("setting evaluate.options.landscape.sigmas must be one or more values ≥ 0, got none")

    def effort(self, config: RunConfig, data: DataSet) -> Effort:
        """Every draw at every σ, of the networks and of random paths of the supernet."""
        images, levels = min(self.config.images, len(data.search)), len(self.config.sigmas) * self.config.draws
        return Effort(images=images * levels * (1 + self.config.random_genotypes))

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> LandscapeResults:
        """Draw one curve after the other; each is a part of its own."""
        supernet, settings = context.supernet, self.config
        if supernet is None:
            raise LowlandError("the suite landscape needs a supernet, and this run has none")
        chosen = order(len(context.data.search), seed=context.seed, keys=("loss curve images",))[: settings.images]
        scored = context.searched(chosen)
        entries: list[tuple[CurveKind, Genotype]] = [("winner", supernet.winner)]
        entries += [("random", genotype) for genotype in supernet.random(settings.random_genotypes)]
        curves: list[Curve] = []
        context.monitor.start("loss curves", len(entries) + 1, "network")

        def drawn(loss_at: LossAt, kind: CurveKind, genotype: Genotype) -> dict[str, Any]:
            found = loss_curve(loss_at, settings.sigmas, settings.draws)
            label = supernet.text(genotype)
            return Curve.of(found, label=label, kind=kind, images=len(chosen)).to_json()

        def inherited(kind: CurveKind, genotype: Genotype) -> dict[str, Any]:
            with supernet.subnet(genotype, scored) as loss_at:
                return drawn(loss_at, kind, genotype)

        def trained() -> dict[str, Any]:
            winner = networks["1"]
            evaluate, parameters = evaluator(winner, scored, context.exact), dict(winner.named_parameters())
            return drawn(
                lambda sigma, draw: loss_under_noise(evaluate, parameters, sigma, draw, context.seed).loss,
                "retrained",
                supernet.winner,
            )

        def keep(compute: Callable[[], dict[str, Any]]) -> None:
            with context.threaded:
                curves.append(Curve.from_json(context.part(f"curve-{len(curves)}", compute)))
            context.monitor.advance(len(curves))
            context.monitor.check()

        for kind, genotype in entries:
            keep(partial(inherited, kind, genotype))
        keep(trained)
        context.monitor.finish()
        return LandscapeResults(tuple(curves))

    def figures(self, results: LandscapeResults) -> dict[str, list[Figure]]:
        """None: a curve is no figure."""
        return {}

    def section(self, results: LandscapeResults) -> SuiteSection:
        """Curves with inherited weights and that of the trained network, which has weights of another scale."""
        series = tuple(
            Series(
                x_label="σ, standard deviation of the weight noise",
                y_label="cross-entropy, nats",
                lines=tuple(Line(label=c.label, x=c.sigmas, y=c.loss, errors=c.errors) for c in curves),
                note=note,
            )
            for note, curves in (
                ("Weights inherited from the supernet.", [c for c in results.curves if c.kind != "retrained"]),
                (
                    "The trained network's own weights. With retrain.include_search_split it has learned from these "
                    "search images, too: its curve then shows the shape of its minimum.",
                    [c for c in results.curves if c.kind == "retrained"],
                ),
            )
            if curves
        )
        return SuiteSection(title="Loss landscape", series=series)
