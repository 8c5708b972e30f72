"""Typed results of the suites on published sets, as plain values: reading them needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from lowland.evaluation.section import Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Shifted:
    """Top-1 accuracy of one network on a published set, percent, and on clean images of the same classes.

    Attributes:
        top1: On the set.
        clean: On clean images of the same classes, among the same logits; None where none were judged.
    """

    top1: Estimate
    clean: Estimate | None = None

    @property
    def gap(self) -> Estimate | None:
        """Clean minus shifted accuracy, points; the two samples are independent."""
        if self.clean is None:
            return None
        errors = (self.clean.standard_error, self.top1.standard_error)
        both = math.hypot(*(error for error in errors if error is not None)) if None not in errors else None
        return Estimate(value=self.clean.value - self.top1.value, standard_error=both)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        clean = values["clean"]
        return cls(top1=Estimate(**values["top1"]), clean=None if clean is None else Estimate(**clean))


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftedResults:
    """What networks get right on a published set.

    Attributes:
        networks: By the network's rank.
        title: The set.
        classes: Classes among which the network chose: those of the set that it knows.
        whole: Classes of the whole set.
        shown: Classes of which there are pictures.
        left_out: Pictures of classes that the network does not know, which were not judged.
        clean: Where the clean images come from; empty where none were judged.
    """

    networks: Mapping[str, Shifted]
    title: str
    classes: int
    whole: int
    shown: int
    left_out: int = 0
    clean: str = ""

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        found = {rank: Shifted.from_json(each) for rank, each in values["networks"].items()}
        return cls(**(dict(values) | {"networks": found}))


@dataclass(frozen=True, kw_only=True, slots=True)
class Detection:
    """How well one score tells other images from those of the test, percent.

    Attributes:
        auroc: Area under the receiver operating characteristic; 50 by chance.
        aupr: Average precision with the other images as positives; their share by chance.
        fpr95: Test images taken for others where 95 % of the others are found (others positive).
        fpr95_in: Other images let through where 95 % of the test images are (test images positive).
    """

    auroc: Estimate
    aupr: Estimate
    fpr95: Estimate
    fpr95_in: Estimate

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        return cls(**{name: Estimate(**each) for name, each in values.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class Others:
    """What networks make of one set of other images.

    Attributes:
        title: The set, or the folder's name.
        others: Its images.
        known: Images to tell them from.
        networks: By the network's rank, by score: `softmax` and `energy`.
    """

    title: str
    others: int
    known: int
    networks: Mapping[str, Mapping[str, Detection]]

    @property
    def chance(self) -> float:
        """The area under the precision-recall curve of a score that says nothing, percent."""
        return 100 * self.others / (self.others + self.known)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        found = {
            rank: {score: Detection.from_json(each) for score, each in by.items()}
            for rank, by in values["networks"].items()
        }
        return cls(**(dict(values) | {"networks": found}))


@dataclass(frozen=True, kw_only=True, slots=True)
class OthersResults:
    """What networks make of images that are of none of their classes.

    Attributes:
        sets: One for each set of other images.
        known: What the images are that they are told from.
        left_out: Pictures of the set that were not judged, since they belong to classes that the network does not know.
    """

    sets: tuple[Others, ...]
    known: str
    left_out: int = 0

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls(
            sets=tuple(map(Others.from_json, values["sets"])), known=values["known"], left_out=values["left_out"]
        )
