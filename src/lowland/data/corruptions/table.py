"""Common corruptions: the images of a test split worsened in known ways and degrees, to measure robustness to shift.

The corruptions of Hendrycks and Dietterich 2019 (arXiv:1903.12261): fifteen standard ones in four groups, and four
extra. Images whose shorter side is below 64 pixels use the published constants of CIFAR-10-C, larger ones those of
ImageNet-C. Results are rounded to the nearest level, where the published files are rounded down. Where an algorithm
or constant departs from the published one, the function that computes it says so.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from lowland.core import seeds
from lowland.core.errors import ConfigError, DataError
from lowland.data.corruptions.blur import BLUR, GAUSSIAN_BLUR
from lowland.data.corruptions.digital import DIGITAL, SATURATE
from lowland.data.corruptions.entry import Corruption
from lowland.data.corruptions.noise import NOISE, SPECKLE
from lowland.data.corruptions.weather import SPATTER, WEATHER

LEAST_LARGE_SIDE = 64
"""From this shorter side on, pixels, the constants are those of ImageNet-C."""
SMALLEST_SIDE = 8
SEVERITIES = (1, 2, 3, 4, 5)
REVISION = 2
"""Raised whenever a corruption's pixels change, so that cached images of before are not used."""

CORRUPTIONS: dict[str, Corruption] = {
    entry.name: entry for entry in (*NOISE, *BLUR, *WEATHER, *DIGITAL, SPECKLE, GAUSSIAN_BLUR, SPATTER, SATURATE)
}
"""Every corruption by name, in the order of the publication's tables, the extra ones last."""

STANDARD = tuple(name for name, entry in CORRUPTIONS.items() if entry.group != "extra")
"""The fifteen over which the mean corruption error is defined."""


def corrupt(x_NCHW: Tensor, name: str, severity: int, *, seed: int, start: int = 0) -> Tensor:
    """Corrupt images by `name` at `severity`.

    Image i draws from a generator that is a function of (seed, name, severity, start + i) alone, so the result does
    not depend on how a split is cut into batches. It is computed on the CPU, so it does not depend on the device.

    Args:
        x_NCHW: uint8 images with 1 or 3 channels and sides of at least 8 pixels.
        name: Key of `CORRUPTIONS`.
        severity: 1 (mild) to 5 (strong).
        seed: The run's seed.
        start: Index of the first image within its split.

    Returns:
        uint8 images (N, C, H, W) on the device of `x_NCHW`.

    Raises:
        ConfigError: If the name or severity is unknown.
        DataError: If the images have another type or shape.
    """
    check_names((name,))
    if severity not in SEVERITIES:
        raise ConfigError(f"severity {severity} of corruption {name} is out of range; give a whole number from 1 to 5")
    shape = tuple(x_NCHW.shape)
    if x_NCHW.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or min(shape[2:]) < SMALLEST_SIDE:
        raise DataError(
            f"only uint8 images of shape (N, 1 or 3, H, W) with sides of at least {SMALLEST_SIDE} pixels can be "
            f"corrupted, not {x_NCHW.dtype} of shape {shape}"
        )
    if not shape[0]:
        return x_NCHW.clone()
    corruption = CORRUPTIONS[name]
    constants = corruption.small if min(shape[2:]) < LEAST_LARGE_SIDE else corruption.large
    x = np.ascontiguousarray(x_NCHW.cpu().numpy())
    worse = corruption.apply(
        x, constants[severity - 1], lambda place: seeds.numpy_rng(seed, "corruption", name, severity, start + place)
    )
    if worse.dtype != np.uint8:
        worse = np.rint(np.clip(worse, 0, 255)).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(worse)).to(x_NCHW.device)


def check_names(names: Sequence[str], where: str = "") -> None:
    """Raise ConfigError, beginning with `where` the names stand, for the first that is no key of `CORRUPTIONS`."""
    for name in names:
        if name not in CORRUPTIONS:
            near = difflib.get_close_matches(name, CORRUPTIONS, n=1)
            guess = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"{where}no corruption is called {name!r}; {guess}known are {', '.join(CORRUPTIONS)}")
