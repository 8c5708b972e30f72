"""The loss landscapes of several trained networks on the same images, as plain values that go through JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from lowland.measures.surface.result import Flatness
from lowland.measures.surface.slices import Slice


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkLandscape:
    """What was seen around the weights of one network.

    Attributes:
        name: As it was asked for.
        origin: Where its weights come from, in a few words.
        genotype: Its text form, or what else it is.
        parameters: Number of trainable scalars.
        images: Images of the curve, n.
        draws: Independent noise draws at each level, each evaluated with both signs.
        sigmas: Noise levels, from 0.
        losses: Mean cross-entropy at each, nats.
        errors: Its standard error over images and, above 0, over draws; None where there is a single image.
        top1: Accuracy without noise, percent.
        top1_error: Its standard error.
        flatness: F of GeNAS, Eq. 4, over the levels above 0.
        flatness_error: Its standard error.
        plane: The loss in a plane of two random, filter-normalised directions; None where it was not asked for.
    """

    name: str
    origin: str
    genotype: str
    parameters: int
    images: int
    draws: int
    sigmas: tuple[float, ...]
    losses: tuple[float, ...]
    errors: tuple[float | None, ...]
    top1: float
    top1_error: float | None
    flatness: float
    flatness_error: float | None
    plane: Slice | None

    @classmethod
    def of(cls, found: Flatness, *, name: str, origin: str, genotype: str) -> Self:
        """From what `lowland.flatness` found of a classifier."""
        assert found.accuracy is not None  # of a classifier it is always known
        return cls(
            name=name,
            origin=origin,
            genotype=genotype,
            parameters=found.parameters,
            images=found.images,
            draws=found.draws,
            sigmas=(0.0, *found.sigmas),
            losses=(found.loss, *found.noisy_losses),
            errors=(found.loss_se, *found.noisy_losses_se),
            top1=100 * found.accuracy,
            top1_error=None if found.accuracy_se is None else 100 * found.accuracy_se,
            flatness=found.flatness,
            flatness_error=found.flatness_se,
            plane=found.slices[0] if found.slices else None,
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`, also after a round trip through JSON."""
        plane = values["plane"]
        lists = {key: tuple(values[key]) for key in ("sigmas", "losses", "errors")}
        return cls(**{**values, **lists, "plane": None if plane is None else _slice(plane)})


def _slice(values: Mapping[str, Any]) -> Slice:
    lists = {key: tuple(values[key]) for key in ("coordinates", "eigenvalues")}
    grids = {key: tuple(map(tuple, values[key])) for key in ("losses", "errors")}
    return Slice(**{**values, **lists, **grids})
