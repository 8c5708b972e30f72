"""Blur: defocus, frosted glass, motion and zoom, and plain Gaussian blur of the extra ones."""

from __future__ import annotations

import numpy as np
import torch

from lowland.data.corruptions.entry import Corruption, Draw, Levels
from lowland.data.corruptions.filters import apply, gaussian, motion, zoom
from lowland.data.images import UInt8
from lowland.data.selection import Indices


def defocus_blur(x: UInt8, constants: tuple[float, float], draw: Draw) -> Levels:
    """Convolution with a soft disk, edges reflected."""
    kernel = torch.from_numpy(disk(*constants))
    margin = len(kernel) // 2
    levels = torch.from_numpy(x).float().flatten(0, 1)[:, None]
    while margin:  # an image is reflected as often as its size asks for: a step pads by less than a side
        step = min(margin, *(side - 1 for side in levels.shape[2:]))
        levels = torch.nn.functional.pad(levels, (step,) * 4, mode="reflect")
        margin -= step
    blurred: Levels = torch.nn.functional.conv2d(levels, kernel[None, None]).numpy()
    return blurred.reshape(x.shape)


def disk(radius: float, alias_blur: float) -> Levels:
    """The defocus kernel: a uniform disk convolved with a Gaussian of standard deviation `alias_blur`.

    The Gaussian is cut to 3 × 3 pixels, or 5 × 5 for radii above 8, as in the publication's code.
    That code's kernels of radius 8 and 10 add up to 1.013 and 1.011, from reflection at their edges, and so brighten
    the image; these do not.

    Returns:
        The kernel, 2·⌊radius⌋ + 1 taps wide and high, sum 1.
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


def glass_blur(x: UInt8, constants: tuple[float, int, int], draw: Draw) -> Levels:
    """Gaussian blur, pixels taken from near by, Gaussian blur again: seen through frosted glass."""
    sigma, reach, rounds = constants
    count, channels, height, width = x.shape
    soft = np.floor(gaussian(x.astype(np.float32), sigma)).reshape(count, channels, -1)
    moves = np.stack([draw(i).integers(-reach, reach, (rounds, height, width, 2)) for i in range(count)])
    for round_ in range(rounds):
        origin = scattered(moves[:, round_], reach).reshape(count, 1, -1)
        soft = np.take_along_axis(soft, np.broadcast_to(origin, soft.shape), axis=2)
    return gaussian(soft.reshape(x.shape), sigma)


def scattered(moves_NHW2: Indices, reach: int) -> Indices:
    """Find which pixel each pixel shows after one round of glass blur.

    From the lower right to the upper left, each pixel farther than `reach` from the edges takes the present value of
    the one `moves` (rows, columns) away. So it does in the published images: their code means to swap the two, but
    overwrites one before it reads it. Instead of one pixel after the other, each pixel's chain of sources is followed
    to its end, all at once, by doubling its length until nothing changes.

    Returns:
        Flat indices h·W + w of the pixels shown, (N, H, W).
    """
    count, height, width, _ = moves_NHW2.shape
    rows, columns = np.indices((height, width))
    inside = (rows > reach) & (rows <= height - reach) & (columns > reach) & (columns <= width - reach)
    own = rows * width + columns
    source = np.where(
        inside,
        (rows + moves_NHW2[..., 0]).clip(0, height - 1) * width + (columns + moves_NHW2[..., 1]).clip(0, width - 1),
        own,
    )
    # A source that was itself rewritten before shows what it took: the chain goes on. Otherwise it shows its original,
    # which stands in the second half of the nodes and leads to itself.
    pixels = height * width
    goes_on = inside.reshape(-1)[source] & (source > own)
    step = np.concatenate(
        (
            np.where(goes_on, source, source + pixels).reshape(count, -1),
            np.broadcast_to(np.arange(pixels, 2 * pixels), (count, pixels)),
        ),
        axis=1,
    )
    while True:
        further = np.take_along_axis(step, step, axis=1)
        if np.array_equal(further, step):
            shown: Indices = step[:, :pixels].reshape(count, height, width) - pixels
            return shown
        step = further


def motion_blur(x: UInt8, constants: tuple[int, float], draw: Draw) -> Levels:
    """Blur along a line at a random angle of at most 45° from the horizontal."""
    angles = np.array([draw(i).uniform(-45, 45) for i in range(len(x))])
    return motion(x.astype(np.float32), *constants, angles)


def zoom_blur(x: UInt8, constants: tuple[int, float], draw: Draw) -> Levels:
    """The mean of the image, once more, and of itself zoomed by 1, 1 + step, … `count` times.

    The factors are rounded as in the published code, whose `np.arange(1, end, step)` goes on by (1 + step) − 1: its
    1.2500000000000002 makes 33 pixels of 32, where 1.25 would make 32.

    Returns:
        The blurred images.
    """
    count, step = constants
    factors = tuple(1 + ((1 + step) - 1) * np.arange(count))
    levels = x.astype(np.float32)
    zoomed = apply(zoom(*x.shape[2:], factors), levels)
    result: Levels = (levels + np.float32(count) * zoomed).astype(np.float32) / np.float32(count + 1)
    return result


def gaussian_blur(x: UInt8, sigma: float, draw: Draw) -> Levels:
    """Gaussian blur of this standard deviation, edges continued."""
    return gaussian(x.astype(np.float32), sigma)


BLUR = (
    Corruption(
        name="defocus_blur",
        group="blur",
        summary="Average over a disk of this radius, softened by a Gaussian of this width (pixels)",
        small=((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
        large=((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        apply=defocus_blur,
    ),
    Corruption(
        name="glass_blur",
        group="blur",
        summary="Gaussian blur of this width before and after pixels are taken from this near, this many times",
        small=((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        large=((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        apply=glass_blur,
    ),
    Corruption(
        name="motion_blur",
        group="blur",
        summary="Average along a random line: half its length and the width of its Gaussian weights (pixels)",
        small=((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        large=((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        apply=motion_blur,
    ),
    Corruption(
        name="zoom_blur",
        group="blur",
        summary="Average over this many zooms towards the centre, this much apart",
        small=((7, 0.01), (12, 0.01), (16, 0.01), (21, 0.01), (26, 0.01)),
        large=((12, 0.01), (16, 0.01), (11, 0.02), (13, 0.02), (11, 0.03)),
        apply=zoom_blur,
    ),
)

GAUSSIAN_BLUR = Corruption(
    name="gaussian_blur",
    group="extra",
    summary="Gaussian blur of this standard deviation (pixels)",
    small=(0.4, 0.6, 0.7, 0.8, 1),
    large=(1, 2, 3, 4, 6),
    apply=gaussian_blur,
)
