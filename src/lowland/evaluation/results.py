"""Typed results of the suites that come with lowland, as plain values: reading them needs no torch.

Each has the JSON form in which evaluations have always been kept, so that those of older runs are read alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from lowland.evaluation.details import Details
from lowland.evaluation.section import Estimate

CurveKind = Literal["winner", "random", "retrained"]


UNEQUAL = 3
"""Largest over smallest class of the test images from which on balanced accuracy is told beside accuracy."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recall:
    """How many of a class's `n` test images are named rightly, percent; None where it has none."""

    value: float | None
    standard_error: float | None
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """Figures of one network on clean test images (`evaluation.classification.classification` says how they are made).

    Accuracies and calibration error in percent, likelihood in nats. `recall` is that of each class, in the order of
    logits; `balanced` its mean.
    """

    top1: float
    top1_standard_error: float | None = None
    top5: float | None = None
    top5_standard_error: float | None = None
    nll: float
    nll_standard_error: float | None = None
    ece: float
    ece_standard_error: float | None = None
    n: int
    balanced: float | None = None
    balanced_standard_error: float | None = None
    recall: tuple[Recall, ...] = ()

    @property
    def unequal(self) -> bool:
        """Whether the largest class of the test images has at least `UNEQUAL` times as many as the smallest."""
        sizes = [each.n for each in self.recall]
        return bool(sizes) and max(sizes) >= UNEQUAL * min(sizes)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From its fields as JSON, also of runs judged before recall was kept."""
        return cls(**{**values, "recall": tuple(Recall(**each) for each in values.get("recall", ()))})


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftGroup:
    """A group of corruptions, such as noise, and the mean error under them, percent."""

    name: str
    corruptions: tuple[str, ...]
    error: Estimate | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """Results of one network on corrupted test images.

    Attributes:
        mean: Accuracy over all types and severities, percent.
        by: The same for each type and severity.
        n: Images behind each.
        severities: Levels judged.
        standard_error: Of `mean`, and of the mean corruption error.
        mean_corruption_error: 100 − `mean` up to rounding, percent; None for runs judged before it was kept.
        errors: Error under each type, mean over severities, percent; empty for runs judged before these were kept.
        groups: The types by group, in the publication's order; empty as `errors`.
        normalised_error: ImageNet-C's mCE, AlexNet being 100, where it is defined.
    """

    mean: float
    by: Mapping[str, Mapping[int, float]]
    n: int
    severities: tuple[int, ...]
    standard_error: float | None = None
    mean_corruption_error: float | None = None
    errors: Mapping[str, Estimate] = field(default_factory=dict)
    groups: tuple[ShiftGroup, ...] = ()
    normalised_error: float | None = None

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Self:
        """From one network's part of `corruption_accuracy`, also after JSON made severities strings."""
        return cls(
            mean=result["mean"],
            by={name: {int(level): value for level, value in row.items()} for name, row in result["by"].items()},
            n=result["n"],
            severities=tuple(int(level) for level in result["severities"]),
            standard_error=result["standard_error"],
            mean_corruption_error=result.get("mean_corruption_error"),
            errors={name: _estimate(row, result["n"]) for name, row in result.get("corruption_errors", {}).items()},
            groups=tuple(
                ShiftGroup(name=name, corruptions=tuple(row["corruptions"]), error=_estimate(row, result["n"]))
                for name, row in result.get("group_errors", {}).items()
            ),
            normalised_error=result.get("normalised_error"),
        )

    def to_json(self) -> dict[str, Any]:
        """What `of` reads."""
        return {
            "mean": self.mean,
            "standard_error": self.standard_error,
            "by": {name: {str(level): value for level, value in row.items()} for name, row in self.by.items()},
            "n": self.n,
            "severities": list(self.severities),
            "mean_corruption_error": self.mean_corruption_error,
            "corruption_errors": {name: _row(error) for name, error in self.errors.items()},
            "group_errors": {
                group.name: _row(group.error) | {"corruptions": list(group.corruptions)}
                for group in self.groups
                if group.error is not None
            },
            "normalised_error": self.normalised_error,
        }


def _estimate(row: Mapping[str, Any], n: int) -> Estimate:
    return Estimate(value=row["error"], standard_error=row["standard_error"], n=n)


def _row(error: Estimate) -> dict[str, Any]:
    return {"error": error.value, "standard_error": error.standard_error}


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Loss of one network against the strength of weight noise.

    Attributes:
        label: Which network, as text.
        kind: `winner` and `random` with weights inherited from the supernet; `retrained` with its own.
        sigmas: Standard deviations of the noise on the weights.
        loss: Mean cross-entropy at each, nats.
        errors: Standard error over noise draws at each; None where there is a single draw.
        draws: Independent noise draws per σ.
        images: Images per draw.
    """

    label: str
    kind: CurveKind
    sigmas: tuple[float, ...]
    loss: tuple[float, ...]
    errors: tuple[float | None, ...]
    draws: int
    images: int

    @classmethod
    def of(cls, result: Mapping[str, Any], *, label: str, kind: CurveKind, images: int) -> Self:
        """From what `loss_curve` returned, also after a round trip through JSON."""
        return cls(
            label=label,
            kind=kind,
            sigmas=tuple(result["sigmas"]),
            loss=tuple(result["loss"]),
            errors=tuple(result["standard_error"]),
            draws=result["draws"],
            images=images,
        )

    def to_json(self) -> dict[str, Any]:
        """The curve as JSON-like values."""
        return {
            "sigmas": list(self.sigmas),
            "loss": list(self.loss),
            "standard_error": list(self.errors),
            "draws": self.draws,
            "kind": self.kind,
            "label": self.label,
            "images": self.images,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls.of(values, label=values["label"], kind=values["kind"], images=values["images"])


@dataclass(frozen=True, slots=True)
class ClassificationResults:
    """Figures of every network on clean test images, by the network's rank.

    Attributes:
        networks: The figures.
        details: What lies behind them; empty for runs judged before it was kept.
        classes: Names of the classes in the order of their labels; empty as `details` are.
    """

    networks: Mapping[str, Classification]
    details: Mapping[str, Details] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """By rank, as JSON-like values."""
        found: dict[str, Any] = {"networks": {rank: asdict(each) for rank, each in self.networks.items()}}
        if self.details:
            details = {rank: each.to_json() for rank, each in self.details.items()}
            found["details"] = details
        return found | {"classes": list(self.classes)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls(
            networks={rank: Classification.from_json(each) for rank, each in values["networks"].items()},
            details={rank: Details.from_json(each) for rank, each in values.get("details", {}).items()},
            classes=tuple(values.get("classes", ())),
        )


@dataclass(frozen=True, slots=True)
class ShiftResults:
    """Figures of every network on corrupted test images, by the network's rank; none where none were asked for."""

    networks: Mapping[str, Shift]

    def to_json(self) -> dict[str, Any]:
        """By rank, as JSON-like values."""
        return {"networks": {rank: found.to_json() for rank, found in self.networks.items()}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls({rank: Shift.of(found) for rank, found in values["networks"].items()})


@dataclass(frozen=True, slots=True)
class LandscapeResults:
    """Loss curves: of the winner and random genotypes with inherited weights, and of the trained network."""

    curves: tuple[Curve, ...]

    def to_json(self) -> dict[str, Any]:
        """The curves as JSON-like values."""
        return {"curves": [curve.to_json() for curve in self.curves]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls(tuple(map(Curve.from_json, values["curves"])))
