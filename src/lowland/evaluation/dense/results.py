"""What came of a dense task, as plain values: the outcome of every seed, and what people are told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from lowland.evaluation.paired import interval
from lowland.evaluation.section import Estimate, Figure, Line, Series, SuiteSection, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One number by which models of a task are judged.

    Attributes:
        key: Its name in `Outcome.metrics`.
        label: What people call it.
        unit: Its unit.
        first: Whether it is among the few that people look at first.
    """

    key: str
    label: str
    unit: str = "%"
    first: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of one training.

    Attributes:
        seed: Its seed.
        metrics: By name; one that the validation pictures cannot give, such as of sizes that none has, is left out.
        losses: By part of the loss, its mean over each interval of steps.
        interval: Steps of which each point is a mean.
        steps: Steps in all.
        parameters: Of the whole model.
        seconds: Training time.
        sha256: Of the model's file.
        test: As `metrics`, on pictures that are kept for the end and chose nothing; empty where there are none.
    """

    seed: int
    metrics: Mapping[str, float]
    losses: Mapping[str, tuple[float, ...]]
    interval: int
    steps: int
    parameters: int
    seconds: float
    sha256: str
    test: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        losses = {name: tuple(points) for name, points in values["losses"].items()}
        return cls(**(dict(values) | {"losses": losses}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """A metric over seeds: mean, standard error of the mean and 95 % interval (Student's t); None of a single seed."""

    mean: float
    standard_error: float | None
    low: float | None
    high: float | None
    n: int

    @property
    def between(self) -> str | None:
        """The interval as people read it, `3.21 … 4.56`; None of a single seed."""
        if self.low is None or self.high is None:
            return None
        return f"{self.low:.2f} … {self.high:.2f}".replace("-", "−")


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseResults:
    """What a study found.

    Attributes:
        task: Its name.
        network: The backbone.
        weights: With which weights the backbone began, in words.
        data: The data set, in words.
        pictures: Validation pictures.
        settings: Of task and recipe.
        outcomes: Of every seed.
        notes: What a reader must know, such as boxes that were cut.
        test_pictures: Test pictures; 0 where there are none.
    """

    task: str
    network: str
    weights: str
    data: str
    pictures: int
    settings: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = field(default=())
    test_pictures: int = 0

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`, also after a round trip through JSON."""
        outcomes = tuple(map(Outcome.from_json, values["outcomes"]))
        return cls(**(dict(values) | {"outcomes": outcomes, "notes": tuple(values["notes"])}))

    @property
    def tested(self) -> DenseResults | None:
        """The same on the test pictures in place of the validation pictures; None where there are none."""
        if not self.test_pictures:
            return None
        outcomes = tuple(replace(outcome, metrics=outcome.test) for outcome in self.outcomes)
        return replace(self, outcomes=outcomes, pictures=self.test_pictures, test_pictures=0)

    def has(self, key: str) -> bool:
        """Whether the pictures give this metric a value."""
        return any(key in outcome.metrics for outcome in self.outcomes)

    def spread(self, key: str) -> Spread:
        """A metric over all seeds; `has` says whether there is any."""
        values = [outcome.metrics[key] for outcome in self.outcomes if key in outcome.metrics]
        mean, error, half = interval(values)
        if error is None or half is None:
            return Spread(mean=mean, standard_error=None, low=None, high=None, n=len(values))
        return Spread(mean=mean, standard_error=error, low=mean - half, high=mean + half, n=len(values))

    def figures(self, metrics: Sequence[Metric]) -> list[Figure]:
        """The few that people look at first, on test pictures too; the standard error is over seeds."""
        found = []
        for results, where in ((self, ""), (self.tested, ", test")):
            for metric in metrics:
                if results is not None and metric.first and results.has(metric.key):
                    over = results.spread(metric.key)
                    found.append(
                        Figure(
                            label=f"{metric.label}{where}",
                            value=over.mean,
                            unit=metric.unit,
                            standard_error=over.standard_error,
                            n=results.pictures,
                        )
                    )
        return found

    def section(self, title: str, metrics: Sequence[Metric]) -> SuiteSection:
        """A section of the report: all metrics over seeds and for each seed, and the loss curves."""
        tables = [self._table(metrics, "validation pictures")]
        if self.tested is not None:
            tables.append(
                self.tested._table(metrics, "test pictures, shown once to the trained models; they chose nothing")
            )
        first = self.outcomes[0]
        steps = f"{first.steps:,} steps" if first.steps != 1 else "one step"
        told = f"Backbone {self.network}, {self.weights}; {self.data}; {steps}, {first.parameters:,} parameters."
        return SuiteSection(
            title=title,
            paragraphs=(told, *self.notes),
            tables=tuple(tables),
            series=(self._curves(),) if first.losses else (),
        )

    def _table(self, metrics: Sequence[Metric], pictures: str) -> Table:
        seeds = [outcome.seed for outcome in self.outcomes]
        several = f"mean over {len(seeds)} seeds with its standard error" if len(seeds) > 1 else "one seed"
        return Table(
            columns=("metric", "mean", "95 % interval", *(f"seed {seed}" for seed in seeds)),
            rows=tuple(self._row(metric) for metric in metrics if self.has(metric.key)),
            note=f"{self.pictures:,} {pictures}; {several}.",
        )

    def _curves(self) -> Series:
        """Each part of the loss, mean over seeds with its standard error."""
        first = self.outcomes[0]
        lines = []
        for name, points in first.losses.items():
            over = [
                interval([outcome.losses[name][place] for outcome in self.outcomes]) for place in range(len(points))
            ]
            lines.append(
                Line(
                    label=name.replace("_", " "),
                    x=tuple(float(min((place + 1) * first.interval, first.steps)) for place in range(len(points))),
                    y=tuple(mean for mean, _, _ in over),
                    errors=tuple(error for _, error, _ in over),
                )
            )
        several = f", mean over {len(self.outcomes)} seeds with its standard error" if len(self.outcomes) > 1 else ""
        each = f"each point a mean of {first.interval} steps" if first.interval > 1 else "step by step"
        return Series(
            x_label="training step", y_label="loss", lines=tuple(lines), note=f"Loss in training, {each}{several}."
        )

    def _row(self, metric: Metric) -> tuple[str, tuple[Estimate | str | None, ...]]:
        over = self.spread(metric.key)
        known = (outcome.metrics.get(metric.key) for outcome in self.outcomes)
        each = (None if value is None else Estimate(value=value) for value in known)
        name = f"{metric.label} ({metric.unit})" if metric.unit else metric.label
        return name, (Estimate(value=over.mean, standard_error=over.standard_error, n=over.n), over.between, *each)
