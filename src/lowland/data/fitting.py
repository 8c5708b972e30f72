"""Fitting: how an oblong picture becomes the square that networks see."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lowland.core.errors import DataError
from lowland.data import opencv
from lowland.data.selection import Indices

Fit = Literal["crop", "squash", "pad", "opencv"]

SMALLEST_SIDE = 4
"""Pixels; smaller pictures are refused wherever they come from."""

MOST = 0.5
"""A crop that keeps a smaller share of a picture cuts most of it away."""


def fit(picture: Image.Image, size: int, how: Fit = "crop") -> Image.Image:
    """Make a picture square, resized with antialiasing (bilinear) but for `opencv`.

    - `crop`: its centre square; the same as resizing the shorter side and then cutting out the centre, without
      computing what is cut away.
    - `squash`: all of it, its two sides by different factors.
    - `pad`: all of it in proportion, centred on black.
    - `opencv`: the centre of a picture whose shorter side is 8/7 as long, not antialiased (`data.opencv.centre`).

    Returns:
        `picture` as `size` × `size` pixels.
    """
    width, height = picture.size
    if width == height == size:
        return picture
    if how == "opencv":
        return opencv.centre(picture, size)
    if how == "squash" or width == height:
        return picture.resize((size, size), Image.Resampling.BILINEAR)
    if how == "pad":
        scale = size / max(width, height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        square = Image.new(picture.mode, (size, size))
        place = (size - inner[0]) // 2, (size - inner[1]) // 2
        square.paste(picture.resize(inner, Image.Resampling.BILINEAR), place)
        return square
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def kept(widths_N: Indices, heights_N: Indices) -> NDArray[np.float64]:
    """The share of each picture that its centre square shows: shorter side / longer side."""
    shares: NDArray[np.float64] = np.minimum(widths_N, heights_N) / np.maximum(widths_N, heights_N)
    return shares


def choose(asked: Literal["auto"] | Fit, widths_N: Indices, heights_N: Indices) -> Fit:
    """How to fit: as asked, or with `auto` squash where the median picture would lose more than half, else crop."""
    if asked == "auto":
        return "squash" if float(np.median(kept(widths_N, heights_N))) < MOST else "crop"
    return asked


def natural_side(how: Fit, widths_N: Indices, heights_N: Indices, largest: int | None) -> int:
    """Find the side that keeps the pictures' resolution.

    A picture's own side is its shorter side (crop, opencv), the side of the square with as many pixels (squash), or
    its longer side (pad).

    Returns:
        The median of each picture's own side, at most `largest`, in pixels.
    """
    if how in ("crop", "opencv"):
        side = int(np.median(np.minimum(widths_N, heights_N)))
    elif how == "pad":
        side = int(np.median(np.maximum(widths_N, heights_N)))
    else:
        side = int(np.median(np.sqrt(widths_N * heights_N)))
    return side if largest is None else min(side, largest)


def refuse_small(width: int, height: int) -> None:
    """Raise DataError for a picture with a side below 4 pixels; the caller puts its name in front."""
    if min(width, height) < SMALLEST_SIDE:
        raise DataError(
            f"is {width} × {height} pixels, but sides of at least {SMALLEST_SIDE} are needed; enlarge or remove it"
        )
