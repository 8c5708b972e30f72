"""Resizing as OpenCV's `INTER_LINEAR` does, without OpenCV: the pictures that published weights were trained on.

Array names: H height, W width, C channels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

UInt8 = NDArray[np.uint8]
Int64 = NDArray[np.int64]

BITS = 11
"""Weights of the two neighbours are multiples of 2⁻¹¹ (INTER_RESIZE_COEF_BITS)."""

SHOWN = 7 / 8
"""Share of the shorter side that the centre shows: 224 of 256 pixels."""


def resized(image: UInt8, height: int, width: int) -> UInt8:
    """Bilinear interpolation between the nearest two pixels of each axis, without antialiasing, in fixed point.

    Pixel d of n looks at f = (d + ½)·m/n − ½ of m, clamped to [0, m − 1]; the two weights are rounded to 2⁻¹¹, sums of
    rows and then of columns to a level. In real arithmetic it is `torch.nn.functional.interpolate(mode="bilinear",
    align_corners=False, antialias=False)`, from which it differs by rounding, at most one level.

    Args:
        image: (H, W) or (H, W, C).
        height: Of the result, pixels.
        width: Of the result, pixels.

    Returns:
        The picture, (height, width) or (height, width, C).
    """
    rows = image[:, :, None] if image.ndim == 2 else image
    left, right, horizontal_W2 = _places(rows.shape[1], width)
    values = rows.astype(np.int64)
    across = values[:, left] * horizontal_W2[None, :, :1] + values[:, right] * horizontal_W2[None, :, 1:]
    top, bottom, vertical_H2 = _places(rows.shape[0], height)
    # The scalar code keeps 7 bits behind the first pass and 2 behind the second, and rounds the last.
    upper = (vertical_H2[:, None, :1] * (across[top] >> 4)) >> 16
    lower = (vertical_H2[:, None, 1:] * (across[bottom] >> 4)) >> 16
    found = ((upper + lower + 2) >> 2).clip(0, 255).astype(np.uint8)
    return found[:, :, 0] if image.ndim == 2 else found


def centre(picture: Image.Image, size: int) -> Image.Image:
    """The centre square of a picture whose shorter side is resized to 8/7 of `size` (public code of RLNAS and GeNAS).

    224 pixels are cut from 256. The longer side is rounded to a pixel, the place of the cut as torchvision does.

    Returns:
        `picture` as `size` × `size` pixels.
    """
    width, height = picture.size
    shorter = round(size / SHOWN)
    if height < width:
        tall, wide = shorter, int(shorter / height * width + 0.5)
    else:
        tall, wide = int(shorter / width * height + 0.5), shorter
    found = resized(np.asarray(picture), tall, wide)
    top, left = round((tall - size) / 2.0), round((wide - size) / 2.0)
    return Image.fromarray(np.ascontiguousarray(found[top : top + size, left : left + size]))


def _places(before: int, after: int) -> tuple[Int64, Int64, Int64]:
    """Of each pixel after: the two pixels before that it lies between, and their weights, in 2⁻¹¹, (after, 2)."""
    at = ((np.arange(after) + 0.5) * (before / after) - 0.5).astype(np.float32)
    first = np.floor(at).astype(np.int64)
    share = at - first.astype(np.float32)
    share[(first < 0) | (first >= before - 1)] = 0.0
    first = first.clip(0, before - 1)
    scale = np.float32(1 << BITS)
    weights = np.stack([np.rint((np.float32(1.0) - share) * scale), np.rint(share * scale)], axis=1)
    return first, (first + 1).clip(max=before - 1), weights.astype(np.int64)
