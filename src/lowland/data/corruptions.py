"""Common corruptions: the images of a test split worsened in known ways and degrees, to measure robustness to shift.

The corruptions of Hendrycks and Dietterich 2019 (arXiv:1903.12261). Images whose shorter side is at most 64 pixels use
the published constants of CIFAR-10-C, larger ones those of ImageNet-C. Results are rounded to the nearest level, where
the published files are rounded down.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lowland import seeds
from lowland.data.images import UInt8, to_array
from lowland.errors import ConfigError, DataError

LARGEST_SMALL_SIDE = 64
SMALLEST_SIDE = 8

Levels = NDArray[np.float32]
Family = Literal["noise", "blur", "weather", "digital"]
Draw = Callable[[int], np.random.Generator]
"""The generator of the image at a place in the batch."""
Apply = Callable[[UInt8, Any, Draw], Levels | UInt8]
"""From uint8 (N, C, H, W) and a severity's constant to levels 0 to 255, which may overshoot at both ends."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One way of worsening images.

    Attributes:
        name: Its name in CIFAR-10-C and ImageNet-C.
        summary: What it does and what its constant means.
        family: Its group in the publication.
        small: The constant for severity 1 to 5 of CIFAR-10-C.
        large: The constant for severity 1 to 5 of ImageNet-C.
        apply: The computation.
    """

    name: str
    summary: str
    family: Family
    small: tuple[Any, Any, Any, Any, Any]
    large: tuple[Any, Any, Any, Any, Any]
    apply: Apply


CORRUPTIONS: dict[str, Corruption] = {}
"""Every corruption by name, in the order of the publication's tables."""


def corrupt(x_NCHW: Tensor, name: str, severity: int, *, seed: int, start: int = 0) -> Tensor:
    """The corruption `name` at `severity` of uint8 images (N, C, H, W); result of the same shape, type and device.

    Image i draws from a generator that is a function of (seed, name, severity, start + i) alone, so the result does
    not depend on how a split is cut into batches. It is computed on the CPU, so it does not depend on the device.

    Args:
        x_NCHW: uint8 images with 1 or 3 channels and sides of at least 8 pixels.
        name: Key of `CORRUPTIONS`.
        severity: 1 (mild) to 5 (strong).
        seed: The run's seed.
        start: Index of the first image within its split.

    Raises:
        ConfigError: If the name or severity is unknown.
        DataError: If the images have another type or shape.
    """
    if name not in CORRUPTIONS:
        near = difflib.get_close_matches(name, CORRUPTIONS, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(f"no corruption is called {name!r}; {guess}known are {', '.join(CORRUPTIONS)}")
    if severity not in range(1, 6):
        raise ConfigError(f"severity {severity} of corruption {name} is out of range; give a whole number from 1 to 5")
    shape = tuple(x_NCHW.shape)
    if x_NCHW.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3) or min(shape[2:]) < SMALLEST_SIDE:
        raise DataError(
            f"only uint8 images of shape (N, 1 or 3, H, W) with sides of at least {SMALLEST_SIDE} pixels can be "
            f"corrupted, not {x_NCHW.dtype} of shape {shape}"
        )
    corruption = CORRUPTIONS[name]
    constants = corruption.small if min(shape[2:]) <= LARGEST_SMALL_SIDE else corruption.large
    x = np.ascontiguousarray(x_NCHW.cpu().numpy())
    worse = corruption.apply(
        x, constants[severity - 1], lambda place: seeds.numpy_rng(seed, "corruption", name, severity, start + place)
    )
    return torch.from_numpy(np.rint(np.clip(worse, 0, 255)).astype(np.uint8)).to(x_NCHW.device)


def _register(
    name: str, family: Family, summary: str, *, small: tuple[Any, ...], large: tuple[Any, ...]
) -> Callable[[Apply], Apply]:
    def add(apply: Apply) -> Apply:
        if name in CORRUPTIONS or len(small) != 5 or len(large) != 5:
            raise ValueError(f"corruption {name} is registered twice or lacks a constant for one of 5 severities")
        CORRUPTIONS[name] = Corruption(name=name, summary=summary, family=family, small=small, large=large, apply=apply)
        return apply

    return add


@_register(
    "gaussian_noise",
    "noise",
    "Gaussian noise of this standard deviation, as in low light",
    small=(0.04, 0.06, 0.08, 0.09, 0.10),
    large=(0.08, 0.12, 0.18, 0.26, 0.38),
)
def _gaussian_noise(x: UInt8, std: float, draw: Draw) -> Levels:
    noise = np.stack([draw(i).standard_normal(x.shape[1:], dtype=np.float32) for i in range(len(x))])
    return x + noise * np.float32(255 * std)


@_register(
    "shot_noise",
    "noise",
    "Poisson noise, white being this many photons",
    small=(500, 250, 100, 75, 50),
    large=(60, 25, 12, 5, 3),
)
def _shot_noise(x: UInt8, photons: float, draw: Draw) -> Levels:
    counts = np.stack([draw(i).poisson(image * (photons / 255)) for i, image in enumerate(x)])
    return (counts * (255 / photons)).astype(np.float32)


@_register(
    "impulse_noise",
    "noise",
    "This share of all values set to black or white, half each",
    small=(0.01, 0.02, 0.03, 0.05, 0.07),
    large=(0.03, 0.06, 0.09, 0.17, 0.27),
)
def _impulse_noise(x: UInt8, share: float, draw: Draw) -> UInt8:
    uniform = np.stack([draw(i).random(x.shape[1:], dtype=np.float32) for i in range(len(x))])
    return np.where(uniform < share / 2, 0, np.where(uniform >= 1 - share / 2, 255, x)).astype(np.uint8)


@_register(
    "defocus_blur",
    "blur",
    "Average over a disk of this radius, softened by a Gaussian of this width (pixels)",
    small=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    large=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
)
def _defocus_blur(x: UInt8, constants: tuple[float, float], draw: Draw) -> Levels:
    kernel = torch.from_numpy(disk(*constants))
    margin = len(kernel) // 2
    levels = torch.from_numpy(x).float().flatten(0, 1)[:, None]
    padded = torch.nn.functional.pad(levels, (margin,) * 4, mode="reflect")
    blurred: Levels = torch.nn.functional.conv2d(padded, kernel[None, None]).numpy()
    return blurred.reshape(x.shape)


def disk(radius: float, alias_blur: float) -> Levels:
    """The defocus kernel: a uniform disk convolved with a Gaussian of standard deviation `alias_blur`, sum 1.

    The Gaussian is cut to 3 × 3 pixels, or 5 × 5 for radii above 8, as in the publication's code.
    That code's kernels of radius 8 and 10 add up to 1.013 and 1.011, from reflection at their edges, and so brighten
    the image; these do not.
    """
    taps = np.arange(-1, 2) if radius <= 8 else np.arange(-2, 3)
    gauss = np.exp(-(taps**2) / (2 * alias_blur**2))
    gauss /= gauss.sum()
    reach = int(radius)
    axis = np.arange(-reach, reach + 1)
    aliased = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(np.float64)
    rows = np.apply_along_axis(np.convolve, 0, aliased, gauss)
    soft = np.apply_along_axis(np.convolve, 1, rows, gauss)
    kernel: Levels = (soft / soft.sum()).astype(np.float32)
    return kernel


@_register(
    "brightness",
    "weather",
    "This share of white added to the HSV value, hue and saturation kept; grey images: to the level",
    small=(0.05, 0.1, 0.15, 0.2, 0.3),
    large=(0.1, 0.2, 0.3, 0.4, 0.5),
)
def _brightness(x: UInt8, added: float, draw: Draw) -> Levels:
    # With hue and saturation fixed, a colour is proportional to its value V = max(R, G, B); black has no hue: grey.
    value = x.max(axis=1, keepdims=True).astype(np.float32)
    brighter = np.minimum(value + np.float32(255 * added), 255)
    result: Levels = np.where(value > 0, x * (brighter / np.maximum(value, 1)), brighter)
    return result


@_register(
    "contrast",
    "digital",
    "Distance of each value to its channel's mean multiplied by this factor",
    small=(0.75, 0.5, 0.4, 0.3, 0.15),
    large=(0.4, 0.3, 0.2, 0.1, 0.05),
)
def _contrast(x: UInt8, factor: float, draw: Draw) -> Levels:
    mean = x.mean(axis=(2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    result: Levels = (x - mean) * np.float32(factor) + mean
    return result


@_register(
    "pixelate",
    "digital",
    "Scaled down by this factor with a box filter, and up again",
    small=(0.95, 0.9, 0.85, 0.75, 0.65),
    large=(0.6, 0.5, 0.4, 0.3, 0.25),
)
def _pixelate(x: UInt8, factor: float, draw: Draw) -> UInt8:
    height, width = x.shape[2:]
    few = (int(width * factor), int(height * factor))
    box = Image.Resampling.BOX
    return _each(x, lambda picture: picture.resize(few, box).resize((width, height), box))


@_register(
    "jpeg_compression",
    "digital",
    "Stored as JPEG of this quality (of 100)",
    small=(80, 65, 58, 50, 40),
    large=(25, 18, 15, 10, 7),
)
def _jpeg_compression(x: UInt8, quality: int, draw: Draw) -> UInt8:
    def stored(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(x, stored)


def _each(x: UInt8, change: Callable[[Image.Image], Image.Image]) -> UInt8:
    """`change` applied to every image as a picture of mode L or RGB."""
    pictures = (Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)) for image in x)
    return np.stack([to_array(change(picture)) for picture in pictures])
