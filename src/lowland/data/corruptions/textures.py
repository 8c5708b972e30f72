"""Textures laid over images: plasma clouds for fog, and procedural frost.

The published frost is cut from six photographs of frozen panes, which cannot be shipped. Here five textures are made
instead, always the same ones, as sums of crystal needles and clouds with the photographs' mean and deviation of each
colour, about their fall of spectral power with frequency, and a comparable share of contrast at the scale of a small
image. Accuracies under `frost` are therefore comparable among lowland's runs, not digit by digit with published ones.

Tensor names: N images, S side of a square map, C channels, H height, W width.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image
from scipy import fft

from lowland.core import seeds
from lowland.data.corruptions.entry import LUMINANCE, Levels
from lowland.data.images import UInt8

FROST_SIDE = 512
"""Side of a frost texture at the scale of ImageNet-C, pixels."""

SMALL_SCALE = 0.2
"""How much smaller CIFAR-10-C's frost is."""

PANES = (
    ((78, 149, 166), (27, 16, 15)),
    ((201, 205, 214), (21, 22, 23)),
    ((138, 153, 165), (28, 28, 30)),
    ((112, 123, 135), (44, 43, 42)),
    ((71, 95, 105), (35, 43, 47)),
)
"""Mean and standard deviation of red, green and blue of the published photographs (the second and third are one)."""

_DIRECTIONS = 9


def plasma(noise_NSS: Levels, decay: float) -> Levels:
    """Cloud maps by the diamond-square algorithm on a torus.

    Midpoints of squares, then of diamonds, become the mean of their four neighbours plus noise of amplitude 100², which
    every halving of the step divides by decay².

    Args:
        noise_NSS: Uniform noise from −1 to 1; each point uses its own value. S is a power of two.
        decay: How fast small clouds grow fainter.

    Returns:
        Maps (N, S, S) from 0 to 1.
    """
    side = noise_NSS.shape[1]
    height = np.zeros(noise_NSS.shape, dtype=np.float64)
    step, amplitude = side, 100.0**2
    while step >= 2:
        half = step // 2
        corners = height[:, ::step, ::step]
        across = corners + np.roll(corners, -1, axis=2)
        middles = height[:, half::step, half::step]
        middles[...] = (across + np.roll(across, -1, axis=1)) / 4 + amplitude * noise_NSS[:, half::step, half::step]
        beside = middles + np.roll(middles, 1, axis=2) + corners + np.roll(corners, -1, axis=1)
        above = middles + np.roll(middles, 1, axis=1) + across
        height[:, half::step, ::step] = beside / 4 + amplitude * noise_NSS[:, half::step, ::step]
        height[:, ::step, half::step] = above / 4 + amplitude * noise_NSS[:, ::step, half::step]
        step, amplitude = half, amplitude / decay**2
    height -= height.min(axis=(1, 2), keepdims=True)
    scaled: Levels = (height / height.max(axis=(1, 2), keepdims=True)).astype(np.float32)
    return scaled


@lru_cache(maxsize=16)
def frost(pane: int, least: tuple[int, int], channels: int, small: bool) -> Levels:
    """Frost texture number `pane`, large enough to cut an image of `least` (H, W) at random.

    Args:
        pane: 0 to 4.
        least: Height and width of the image.
        channels: 1 or 3.
        small: At the scale of CIFAR-10-C instead of ImageNet-C's.

    Returns:
        Levels (C, S, S), S at least 1.1 times the longer side of the image.
    """
    side = round(FROST_SIDE * SMALL_SCALE) if small else FROST_SIDE
    side = max(side, int(np.ceil(1.1 * max(least))) + 1)
    picture = Image.fromarray(_pane(pane))
    levels = np.asarray(picture.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32).transpose(2, 0, 1)
    return levels if channels == 3 else np.tensordot(LUMINANCE, levels, axes=1)[None]


@lru_cache(maxsize=len(PANES))
def _pane(pane: int) -> UInt8:
    """One texture, uint8 (S, S, 3)."""
    rng = seeds.numpy_rng(0, "frost", pane)
    side = FROST_SIDE
    down, right = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    radius = np.hypot(down, right)
    radius[0, 0] = 1 / side

    def shaped(gain: Levels) -> Levels:
        """White noise with its spectrum multiplied, zero mean and unit deviation."""
        white = rng.standard_normal((side, side), dtype=np.float32)
        field = fft.irfft2(fft.rfft2(white) * gain.astype(np.float32), s=(side, side))
        result: Levels = (field - field.mean()) / field.std()
        return result

    needles, chosen = np.zeros((side, side)), np.full((side, side), -np.inf)
    for turn in rng.uniform(0, np.pi) + np.arange(_DIRECTIONS) * (np.pi / _DIRECTIONS):
        along = np.cos(turn) * right + np.sin(turn) * down
        across = np.cos(turn) * down - np.sin(turn) * right
        # Needles about 40 pixels long and 3 wide, and patches of about 60 pixels in which they share a direction.
        ridges = np.abs(shaped(np.exp(-((along * 40) ** 2) / 2 - ((across * 3) ** 2) / 2) * radius**0.25))
        weight = shaped(np.exp(-((radius * 60) ** 2) / 2))
        needles, chosen = np.where(weight > chosen, ridges, needles), np.maximum(weight, chosen)
    clouds = shaped(radius**-1.1)
    mixed = 0.6 * (needles - needles.mean()) / needles.std() + 0.8 * clouds
    mixed = (mixed - mixed.mean()) / mixed.std()
    mean, deviation = np.array(PANES[pane], dtype=np.float64)
    levels: UInt8 = np.rint(np.clip(mean + deviation * mixed[..., None], 0, 255)).astype(np.uint8)
    return levels
