"""The suite of calibration: whether networks are as sure as they are right, before and after a temperature.

Tensor names: N images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor, nn
from torch.nn import functional as F

from lowland.core.config import Config as RunConfig
from lowland.core.errors import DataError
from lowland.data import DataSet
from lowland.evaluation.classification import classification, predict, standard_error
from lowland.evaluation.reliability import Reliability
from lowland.evaluation.section import Estimate, Figure, Line, Series, SuiteSection, Table
from lowland.evaluation.suite import EvaluationContext, Suite, register

COLDEST, HOTTEST = 0.05, 20.0
"""Between these a temperature is sought; networks that are never wrong have none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How well one network's probabilities fit, on clean test images.

    Attributes:
        ece: Expected calibration error, percent (Guo et al. 2017, Eq. 3; 15 bins).
        nll: Mean negative log-likelihood, nats.
        brier: Mean of Σ_k (p_k − [k = label])², 0 to 2 (Brier 1950).
        reliability: Accuracy by confidence.
    """

    ece: Estimate
    nll: Estimate
    brier: Estimate
    reliability: Reliability

    @classmethod
    def of(cls, logits_NK: Tensor, labels_N: Tensor) -> Self:
        """From logits and labels.

        Returns:
            The figures, with standard errors over images.

        Example:
            >>> import torch
            >>> found = Calibration.of(torch.tensor([0.8, 0.2]).log().expand(4, 2), torch.tensor([0, 0, 0, 1]))
            >>> round(found.brier.value, 4), round(found.ece.value, 4)
            (0.38, 5.0)
        """
        found, n = classification(logits_NK, labels_N), len(labels_N)
        probability_NK = logits_NK.double().softmax(dim=1)
        brier_N = (probability_NK - F.one_hot(labels_N, logits_NK.shape[1])).square().sum(dim=1)
        return cls(
            ece=Estimate(value=found["ece"], standard_error=found["ece_standard_error"], n=n),
            nll=Estimate(value=found["nll"], standard_error=found["nll_standard_error"], n=n),
            brier=Estimate(value=float(brier_N.mean()), standard_error=standard_error(brier_N), n=n),
            reliability=Reliability.of(logits_NK, labels_N),
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        estimates = {name: Estimate(**values[name]) for name in ("ece", "nll", "brier")}
        return cls(**estimates, reliability=Reliability.from_json(values["reliability"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """One network before and after its logits are divided by a temperature.

    Attributes:
        temperature: What the logits are divided by; above 1 where the network is too sure.
        before: As it is.
        after: With the temperature.
    """

    temperature: float
    before: Calibration
    after: Calibration


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationResults:
    """How well every network's probabilities fit.

    Attributes:
        networks: By rank.
        fitted_on: Search images that the temperature was fitted on.
        learned: Whether the networks had learned from these.
    """

    networks: Mapping[str, Scaled]
    fitted_on: int
    learned: bool

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        found = {
            rank: Scaled(
                temperature=each["temperature"],
                before=Calibration.from_json(each["before"]),
                after=Calibration.from_json(each["after"]),
            )
            for rank, each in values["networks"].items()
        }
        return cls(networks=found, fitted_on=values["fitted_on"], learned=values["learned"])


def fitted_temperature(logits_NK: Tensor, labels_N: Tensor) -> float:
    """The T at which the mean negative log-likelihood of softmax(logits / T) is least (Guo et al. 2017, section 4.2).

    The likelihood is convex in 1/T. T is sought between 0.05 and 20, and is one of these where the likelihood falls
    towards it, as for a network that is never wrong.

    Returns:
        T.

    Example:
        >>> import torch
        >>> logits_NK = 3 * torch.tensor([0.75, 0.25]).log().expand(4, 2)
        >>> round(fitted_temperature(logits_NK, torch.tensor([0, 0, 0, 1])), 4)
        3.0
    """
    from scipy.optimize import minimize_scalar  # here: it takes a quarter of a second to import

    logits_NK = logits_NK.double()

    def nll(log_temperature: float) -> float:
        return float(F.cross_entropy(logits_NK / math.exp(log_temperature), labels_N))

    found = minimize_scalar(
        nll, bounds=(math.log(COLDEST), math.log(HOTTEST)), method="bounded", options={"xatol": 1e-9}
    )
    return math.exp(float(found.x))


@register
class CalibrationSuite(Suite[CalibrationResults]):
    """Calibration error, likelihood and Brier score on clean test images, before and after temperature scaling."""

    name = "calibration"
    summary = "ECE, NLL and Brier score on clean test images, before and after a temperature fitted on search images"
    source = "Guo et al. 2017, arXiv:1706.04599; Brier 1950"

    shared = ("evaluate.batch_size", "retrain.include_search_split")

    Results = CalibrationResults

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise DataError where there are no search images to fit a temperature on."""
        if not len(data.search):
            raise DataError("suite calibration fits a temperature on search images, but there are none")

    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> CalibrationResults:
        """Judge networks as a person runs them after `lowland.load`."""
        data, found = context.data, {}
        for rank, model in networks.items():
            (held_NK, held_N), (logits_NK, labels_N) = (
                predict(model, split, data.normalise, context.exact, context.batch_size)
                for split in (data.search, data.test)
            )
            temperature = fitted_temperature(held_NK, held_N)
            found[rank] = Scaled(
                temperature=temperature,
                before=Calibration.of(logits_NK, labels_N),
                after=Calibration.of(logits_NK.double() / temperature, labels_N),
            )
            context.monitor.check()
        return CalibrationResults(networks=found, fitted_on=len(data.search), learned=context.learned_search)

    def figures(self, results: CalibrationResults) -> dict[str, list[Figure]]:
        """The calibration error with the temperature."""
        return {
            rank: [
                Figure(
                    label="ECE, with temperature",
                    value=found.after.ece.value,
                    unit="%",
                    standard_error=found.after.ece.standard_error,
                    n=found.after.ece.n,
                )
            ]
            for rank, found in results.networks.items()
        }

    def section(self, results: CalibrationResults) -> SuiteSection:
        """Two rows for each network, and the first one's accuracy by confidence."""
        rows = tuple(
            (f"{rank}, {name}", (Estimate(value=temperature), of.ece, of.nll, of.brier))
            for rank, found in results.networks.items()
            for name, temperature, of in (
                ("as it is", 1.0, found.before),
                ("with temperature", found.temperature, found.after),
            )
        )
        n = next(iter(results.networks.values())).before.ece.n
        note = (
            f"On {n:,} clean test images; ± is one standard error. The temperature is the one of highest likelihood on "
            f"{results.fitted_on:,} search images"
        )
        note += (
            ", which these networks have also been trained on, so that it is too low; set "
            "retrain.include_search_split=false for one that they have not."
            if results.learned
            else ", which the networks have not been trained on."
        )
        first = next(iter(results.networks.values()))
        plot = Series(
            x_label="confidence, %",
            y_label="accuracy, %",
            lines=(
                Line(label="perfectly calibrated", x=(0.0, 100.0), y=(0.0, 100.0)),
                first.before.reliability.line("as it is"),
                first.after.reliability.line(f"with temperature {first.temperature:.3g}"),
            ),
            note="Accuracy of the best network by its confidence, in 15 bins; below the diagonal it is too sure.",
        )
        columns = ("Network", "Temperature", "ECE, %", "NLL, nats", "Brier score")
        table = Table(columns=columns, rows=rows, note=note)
        return SuiteSection(title="Calibration", tables=(table,), series=(plot,))
