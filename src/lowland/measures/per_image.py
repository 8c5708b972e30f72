"""Per-image losses of a classifier, clean and under weight noise: the one evaluation that all measures share.

Array names: N images, K noise draws, T noise levels; logits (N, classes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lowland.core.device import Compute
from lowland.core.errors import DataError, NotFiniteError
from lowland.core.inference import outputs
from lowland.measures.measure import Batches
from lowland.measures.perturbation import Levels, Noise, Perturbation, coefficients, perturbed

Array = NDArray[np.float64]


class Loss(Protocol):
    """A loss as in `torch.nn.functional`: with `reduction="none"` one value per image."""

    def __call__(self, logits: Tensor, labels: Tensor, /, *, reduction: str) -> Tensor:
        """(N, classes), (N) → (N)."""


@dataclass(frozen=True, slots=True)
class ImageResults:
    """What a network made of N images.

    Attributes:
        losses_N: Loss of each image, float64.
        correct_N: 1.0 where the most probable class is the label, else 0.0.
    """

    losses_N: Array
    correct_N: Array

    @property
    def images(self) -> int:
        """Number of images N."""
        return len(self.losses_N)

    @property
    def loss(self) -> float:
        """Mean loss; cross-entropy in nats."""
        return float(self.losses_N.mean())

    @property
    def accuracy(self) -> float:
        """Top-1 accuracy in [0, 1]."""
        return float(self.correct_N.mean())

    @property
    def loss_se(self) -> float:
        """Standard error of `loss` over images."""
        return sampling_error(self.losses_N - self.loss)

    @property
    def accuracy_se(self) -> float:
        """Binomial standard error √(p(1 − p)/N) of `accuracy`."""
        return sampling_error(self.correct_N - self.accuracy)


Evaluate = Callable[[], ImageResults]
"""Evaluates a network with whatever weights it holds at the time, always on the same images in the same order."""


def sampling_error(influence_N: Array) -> float:
    """Standard error √(Σ U²)/N of an estimate on which image n has the influence Uₙ (infinitesimal jackknife)."""
    return float(np.linalg.norm(influence_N) / len(influence_N))


def evaluate(
    forward: Callable[[Tensor], Tensor],
    batches: Iterable[tuple[Tensor, Tensor]],
    compute: Compute,
    loss: Loss = cross_entropy,
) -> ImageResults:
    """Evaluate every image, without gradients.

    Returns:
        Loss, in fp32 (fp64 for fp64 logits), and correctness of every image (N,).

    Raises:
        DataError: there are no images.
        NotFiniteError: a loss is not finite.
    """
    losses: list[Tensor] = []
    correct: list[Tensor] = []
    for logits, labels_N in outputs(forward, batches, compute):
        losses.append(loss(logits, labels_N, reduction="none"))
        correct.append(logits.argmax(dim=1) == labels_N)
    if not losses:
        raise DataError("no images to evaluate on; give at least one batch")
    losses_N: Array = torch.cat(losses).cpu().double().numpy()
    if not np.isfinite(losses_N).all():
        raise NotFiniteError("loss is not finite")
    return ImageResults(losses_N, torch.cat(correct).cpu().double().numpy())


def loss_under_noise(
    evaluate: Evaluate,
    parameters: Mapping[str, nn.Parameter],
    sigma: float,
    draw: int,
    seed: int,
    *,
    sign: Literal[1, -1] = 1,
    relative: bool = False,
) -> ImageResults:
    """Evaluate with weights w + σ z (w ⊙ (1 + σ z) where `relative`), for curves of loss against σ.

    The direction z depends on the draw, not on σ: a curve follows one ray from the minimum. σ = 0 is the clean network.

    Returns:
        Loss and correctness of every image (N,).

    Raises:
        NotFiniteError: a loss is not finite.
    """
    noise = Noise(seed=seed, draw=draw, coefficients={0: sigma}, sign=sign, relative=relative)
    return outcome_under(noise, evaluate, parameters, sigma)


def losses_under_noise(
    evaluate: Evaluate,
    parameters: Mapping[str, nn.Parameter],
    *,
    sigmas: Sequence[float],
    draws: int,
    seed: int,
    levels: Levels = "absolute",
    keys: tuple[object, ...] = (),
    antithetic: bool = False,
    relative: bool = False,
    remember: bool = False,
) -> Array:
    """Evaluate under every draw at every level.

    Args:
        evaluate: The evaluation; called K·T times, twice that where antithetic.
        parameters: What is perturbed.
        sigmas: Noise levels σ₁ < … < σ_T.
        draws: Number of independent draws K of the noise at every level.
        seed: Run seed.
        levels: How the levels are made (see `perturbation.coefficients`).
        keys: Further keys of the noise, such as the genotype.
        antithetic: Also evaluate −ε for every draw ε.
        relative: Scale the noise by each weight.
        remember: Keep the perturbed weights for the next candidate (`perturbation.Bank`).

    Returns:
        Per-image losses (K draws, T levels, N images), averaged over ±ε where `antithetic`.

    Raises:
        NotFiniteError: a loss is not finite.
    """
    signs: tuple[Literal[1, -1], ...] = (1, -1) if antithetic else (1,)

    def losses_N(draw: int, sigma: float, level: Mapping[int, float], sign: Literal[1, -1]) -> Array:
        noise = Noise(
            seed=seed, draw=draw, coefficients=level, keys=keys, sign=sign, relative=relative, remember=remember
        )
        return outcome_under(noise, evaluate, parameters, sigma).losses_N

    pairs = list(zip(sigmas, coefficients(sigmas, levels), strict=True))
    return np.array(
        [
            [np.mean([losses_N(draw, sigma, level, sign) for sign in signs], axis=0) for sigma, level in pairs]
            for draw in range(draws)
        ]
    )


def outcome_under(
    perturbation: Perturbation, evaluate: Evaluate, parameters: Mapping[str, nn.Parameter], sigma: float
) -> ImageResults:
    """Evaluate with perturbed `parameters`; the level `sigma` of the perturbation is only named in errors.

    Returns:
        Loss and correctness of every image (N,).

    Raises:
        NotFiniteError: a loss is not finite.
    """
    with perturbed(parameters, perturbation):
        try:
            return evaluate()
        except NotFiniteError as error:
            raise NotFiniteError(f"{error} at σ = {sigma:g}") from error


def first(batches: Batches, count: int) -> list[tuple[Tensor, Tensor]]:
    """The first `count` images of `batches`, or all where there are fewer; no batch is read beyond them."""
    found = []
    for x_NCHW, labels_N in batches:
        found.append((x_NCHW[:count], labels_N[:count]))
        count -= len(found[-1][1])
        if count == 0:
            break
    return found


def first_images(batches: Batches, count: int) -> tuple[Tensor, Tensor]:
    """Join the first `count` images and labels of `batches`.

    Returns:
        One batch; all images where there are fewer.

    Raises:
        DataError: there are none.
    """
    found = first(batches, count)
    if not found:
        raise DataError("an untrained measure got no training images; raise measure.calibration_images")
    return torch.cat([x_NCHW for x_NCHW, _ in found]), torch.cat([labels_N for _, labels_N in found])
