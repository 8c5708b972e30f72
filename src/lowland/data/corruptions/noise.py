"""Noise: every value changed on its own. Gaussian, shot and impulse noise, and speckle of the extra ones."""

from __future__ import annotations

import numpy as np

from lowland.data.corruptions.entry import Corruption, Draw, Levels
from lowland.data.images import UInt8


def gaussian_noise(x: UInt8, std: float, draw: Draw) -> Levels:
    """X + 255 · std · n with n standard normal."""
    return x + _normal(x, draw) * np.float32(255 * std)


def shot_noise(x: UInt8, photons: float, draw: Draw) -> Levels:
    """A Poisson count of mean photons · x / 255, scaled back."""
    counts = np.stack([draw(i).poisson(image * (photons / 255)) for i, image in enumerate(x)])
    return (counts * (255 / photons)).astype(np.float32)


def impulse_noise(x: UInt8, share: float, draw: Draw) -> UInt8:
    """A share of the values set to black or white, half each."""
    uniform = np.stack([draw(i).random(x.shape[1:], dtype=np.float32) for i in range(len(x))])
    return np.where(uniform < share / 2, 0, np.where(uniform >= 1 - share / 2, 255, x)).astype(np.uint8)


def speckle_noise(x: UInt8, std: float, draw: Draw) -> Levels:
    """X · (1 + std · n) with n standard normal."""
    return x * (1 + _normal(x, draw) * np.float32(std))


def _normal(x: UInt8, draw: Draw) -> Levels:
    return np.stack([draw(i).standard_normal(x.shape[1:], dtype=np.float32) for i in range(len(x))])


NOISE = (
    Corruption(
        name="gaussian_noise",
        group="noise",
        summary="Gaussian noise of this standard deviation, as in low light",
        small=(0.04, 0.06, 0.08, 0.09, 0.10),
        large=(0.08, 0.12, 0.18, 0.26, 0.38),
        apply=gaussian_noise,
    ),
    Corruption(
        name="shot_noise",
        group="noise",
        summary="Poisson noise, white being this many photons",
        small=(500, 250, 100, 75, 50),
        large=(60, 25, 12, 5, 3),
        apply=shot_noise,
    ),
    Corruption(
        name="impulse_noise",
        group="noise",
        summary="This share of all values set to black or white, half each",
        small=(0.01, 0.02, 0.03, 0.05, 0.07),
        large=(0.03, 0.06, 0.09, 0.17, 0.27),
        apply=impulse_noise,
    ),
)

SPECKLE = Corruption(
    name="speckle_noise",
    group="extra",
    summary="Gaussian noise of this standard deviation in proportion to each value",
    small=(0.06, 0.1, 0.12, 0.16, 0.2),
    large=(0.15, 0.2, 0.35, 0.45, 0.6),
    apply=speckle_noise,
)
