"""Filters that several corruptions share: Gaussian, motion and zoom blur, and bilinear sampling, for whole batches.

Every one computes an image's pixels by the same sums in the same order whatever else is in the batch, so that results
do not depend on how a split is cut.

Tensor names: N images, C channels, H height, W width, T taps of a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from lowland.data.corruptions.entry import Levels
from lowland.data.selection import Indices

NEGLIGIBLE = 1e-6
"""Taps of a motion kernel with less weight move no pixel by as much as a thousandth of a level."""


def gaussian(
    x_NCHW: Levels, sigma: float, *, mode: Literal["nearest", "reflect"] = "nearest", truncate: float = 4
) -> Levels:
    """Gaussian blur of standard deviation `sigma` (pixels), cut at `truncate` deviations, channel by channel."""
    blurred: Levels = ndimage.gaussian_filter(x_NCHW, (0, 0, sigma, sigma), mode=mode, truncate=truncate)
    return blurred


def motion(x_NCHW: Levels, radius: int, sigma: float, angle_N: NDArray[np.float64]) -> Levels:
    """Blur along a line that leaves each pixel at an angle (degrees), with edges continued outwards.

    The kernel is that of ImageMagick, with which CIFAR-10-C was made: the right half of a Gaussian of standard
    deviation `sigma`, 2 · radius + 1 taps long, each tap at the nearest whole pixel. Taps from the first that leaves
    the image on are dropped.

    Returns:
        The blurred images, (N, C, H, W).
    """
    weight_T = np.exp(-0.5 * (np.arange(2 * radius + 1) / sigma) ** 2)
    weight_T = (weight_T / weight_T.sum()).astype(np.float32)
    weight_T = weight_T[weight_T >= NEGLIGIBLE]
    height, width = x_NCHW.shape[2:]
    steps_T = np.arange(len(weight_T))
    turn_N1 = np.deg2rad(angle_N)[:, None]
    down_NT = np.ceil(steps_T * np.sin(turn_N1) - 0.5).astype(np.int64)
    right_NT = np.ceil(steps_T * np.cos(turn_N1) - 0.5).astype(np.int64)
    inside_NT = np.logical_and.accumulate((abs(down_NT) < height) & (abs(right_NT) < width), axis=1)
    reach = min(len(weight_T), max(height, width))
    padded = np.pad(x_NCHW, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode="edge")
    total = np.zeros_like(x_NCHW)
    for tap, weight in enumerate(weight_T):
        used = np.flatnonzero(inside_NT[:, tap])
        places = np.stack((down_NT[used, tap], right_NT[used, tap]), axis=1)
        for down, right in np.unique(places, axis=0):
            chosen = used[(places == (down, right)).all(axis=1)]
            top, left = reach + down, reach + right
            total[chosen] += weight * padded[chosen, :, top : top + height, left : left + width]
    return total


@lru_cache(maxsize=16)
def zoom(height: int, width: int, factors: Sequence[float]) -> sparse.csr_array:
    """The mean of an image zoomed into its centre by each of the factors.

    Linear interpolation whose first and last sample are the first and last pixel of the part that is enlarged.

    Returns:
        A sparse (H·W, H·W) matrix for `apply`.
    """
    total = sparse.csr_array((height * width, height * width), dtype=np.float64)
    for factor in factors:
        total = total + sparse.csr_array(sparse.kron(_zoom(height, factor), _zoom(width, factor)))
    return sparse.csr_array(total / len(factors)).astype(np.float32)


def _zoom(size: int, factor: float) -> sparse.csr_array:
    """Zoom of one line: a sparse (size, size) matrix."""
    part = int(np.ceil(size / factor))
    long = round(part * factor)
    first, cut = (size - part) // 2, (long - size) // 2
    place = (cut + np.arange(size)) * ((part - 1) / max(long - 1, 1))
    low = np.minimum(place.astype(np.int64), max(part - 2, 0))
    high = np.minimum(low + 1, part - 1)
    share = place - low
    rows = np.tile(np.arange(size), 2)
    columns = first + np.concatenate((low, high))
    return sparse.csr_array((np.concatenate((1 - share, share)), (rows, columns)), shape=(size, size))


def apply(operator: sparse.csr_array, x_NCHW: Levels) -> Levels:
    """A sparse (H·W, H·W) matrix applied to every channel of every image."""
    shape = x_NCHW.shape
    columns = np.ascontiguousarray(x_NCHW.reshape(shape[0] * shape[1], -1).T)
    result: Levels = np.ascontiguousarray((operator @ columns).T).reshape(shape)
    return result


def sample(x_NCHW: Levels, row_NHW: Levels, column_NHW: Levels, *, edge: Literal["half", "whole"]) -> Levels:
    """Each image read at the given places, with bilinear interpolation and reflection.

    Args:
        x_NCHW: Images.
        row_NHW: Row to read at for every pixel of the result; may lie outside.
        column_NHW: Column to read at.
        edge: What lies beyond the last pixel: `half`, that pixel again (… c b a a b c …); `whole`, the one before it
            (… c b a b c …).

    Returns:
        Images (N, C, H, W) of the size of `row_NHW`.
    """
    count, channels, height, width = x_NCHW.shape
    top, left = np.floor(row_NHW), np.floor(column_NHW)
    down, right = (row_NHW - top)[..., None], (column_NHW - left)[..., None]
    rows = [_inside(top.astype(np.int64) + step, height, edge) for step in (0, 1)]
    columns = [_inside(left.astype(np.int64) + step, width, edge) for step in (0, 1)]
    base = (np.arange(count) * height * width)[:, None, None]
    pixels = np.ascontiguousarray(x_NCHW.transpose(0, 2, 3, 1)).reshape(-1, channels)

    def read(row: Indices, column: Indices) -> Levels:
        found: Levels = pixels.take(base + row * width + column, axis=0)
        return found

    upper = read(rows[0], columns[0]) * (1 - right) + read(rows[0], columns[1]) * right
    lower = read(rows[1], columns[0]) * (1 - right) + read(rows[1], columns[1]) * right
    result: Levels = (upper * (1 - down) + lower * down).astype(np.float32).transpose(0, 3, 1, 2)
    return result


def _inside(place: Indices, size: int, edge: Literal["half", "whole"]) -> Indices:
    """Whole places mapped into 0 … size − 1 by reflection."""
    if edge == "half":
        folded = place % (2 * size)
        return np.minimum(folded, 2 * size - 1 - folded)
    folded = place % (2 * size - 2)
    return np.minimum(folded, 2 * size - 2 - folded)
