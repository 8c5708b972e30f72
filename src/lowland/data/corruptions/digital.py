"""Digital: contrast, elastic deformation, pixelation and JPEG compression, and saturation of the extra ones."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from lowland.data.corruptions.entry import Corruption, Draw, Levels, grey
from lowland.data.corruptions.filters import gaussian, sample
from lowland.data.images import UInt8, to_array


def contrast(x: UInt8, factor: float, draw: Draw) -> Levels:
    """Distances to each channel's mean multiplied."""
    mean = x.mean(axis=(2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    result: Levels = (x - mean) * np.float32(factor) + mean
    return result


def elastic_transform(x: UInt8, constants: tuple[float, float, float, float], draw: Draw) -> Levels:
    """The image seen through a random affine map, then through a smooth random displacement of every pixel.

    As in CIFAR-10-C the affine map moves three points around the centre, a third of the side apart. ImageNet-C's own
    constants make severity 1 the strongest; those of `imagecorruptions` are used, which scale with the image and leave
    the affine map out.

    Returns:
        Levels of the shape of `x`, not yet rounded.
    """
    strength, smooth, shaken, amplitude = constants
    count, _, height, width = x.shape
    levels = x.astype(np.float32)
    rows, columns = np.indices((height, width), dtype=np.float32)
    fields = np.empty((count, 2, height, width), dtype=np.float32)
    moves = np.empty((count, 3, 2))
    for i in range(count):
        rng = draw(i)
        moves[i] = rng.uniform(-1, 1, (3, 2)) * (shaken * height)
        if strength:
            fields[i] = rng.uniform(-1, 1, (2, height, width))
    if shaken:
        centre, third = np.array([width // 2, height // 2]), min(height, width) // 3
        corners = centre + third * np.array([[1, 1], [1, -1], [-1, -1]])
        before = np.broadcast_to(corners, moves.shape)
        after = np.concatenate((before + moves, np.ones((count, 3, 1))), axis=2)
        back = np.linalg.solve(after, before).astype(np.float32)[..., None, None]  # (N, 3, 2): where (x, y, 1) is from
        column, row = (back[:, 0, axis] * columns + back[:, 1, axis] * rows + back[:, 2, axis] for axis in (0, 1))
        levels = sample(levels, row, column, edge="whole")
    if strength:
        smoothed = gaussian(fields, smooth * height, mode="reflect", truncate=3)
        moved = smoothed * np.float32(amplitude * height * strength)
        levels = sample(levels, rows + moved[:, 0], columns + moved[:, 1], edge="half")
    return levels


def pixelate(x: UInt8, factor: float, draw: Draw) -> UInt8:
    """Scaled down and up with a box filter."""
    height, width = x.shape[2:]
    few = (int(width * factor), int(height * factor))
    box = Image.Resampling.BOX
    return _each(x, lambda picture: picture.resize(few, box).resize((width, height), box))


def jpeg_compression(x: UInt8, quality: int, draw: Draw) -> UInt8:
    """Stored as JPEG and read again."""

    def stored(picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        return Image.open(file)

    return _each(x, stored)


def _each(x: UInt8, change: Callable[[Image.Image], Image.Image]) -> UInt8:
    """`change` applied to every image as a picture of mode L or RGB."""
    pictures = (Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0)) for image in x)
    return np.stack([to_array(change(picture)) for picture in pictures])


def saturate(x: UInt8, constants: tuple[float, float], draw: Draw) -> Levels:
    """HSV saturation S replaced by a · S + b, at least 0 and at most 1.

    Greys count as red without saturation, as in the published code.
    A grey image has no saturation to change, and what b adds is seen as its luminance.

    Returns:
        Levels of the shape of `x`, not yet rounded.
    """
    factor, added = constants
    colour = np.broadcast_to(x, (len(x), 3, *x.shape[2:])).astype(np.float32)
    value = colour.max(axis=1, keepdims=True)
    spread = value - colour.min(axis=1, keepdims=True)
    red = np.array([0, 1, 1], dtype=np.float32)[:, None, None]
    # A channel is V · (1 − S · t), where t depends on the hue alone: 0 for the strongest channel, 1 for the weakest.
    hue = np.where(spread > 0, (value - colour) / np.maximum(spread, 1), red)
    saturation = np.clip(np.float32(factor) * spread / np.maximum(value, 1) + np.float32(added), 0, 1)
    changed: Levels = value * (1 - saturation * hue)
    return changed if x.shape[1] == 3 else grey(changed)


DIGITAL = (
    Corruption(
        name="contrast",
        group="digital",
        summary="Distance of each value to its channel's mean multiplied by this factor",
        small=(0.75, 0.5, 0.4, 0.3, 0.15),
        large=(0.4, 0.3, 0.2, 0.1, 0.05),
        apply=contrast,
    ),
    Corruption(
        name="elastic_transform",
        group="digital",
        summary="Displacement's factor and smoothing, affine map's largest move, noise's amplitude (of the height)",
        small=(
            (0, 0, 0.08, 1),
            (0.05, 0.2, 0.07, 1),
            (0.08, 0.06, 0.06, 1),
            (0.1, 0.04, 0.05, 1),
            (0.1, 0.03, 0.03, 1),
        ),
        large=(
            (12.5, 0.01, 0, 0.005),
            (16.25, 0.01, 0, 0.005),
            (21.25, 0.01, 0, 0.005),
            (25, 0.01, 0, 0.005),
            (30, 0.01, 0, 0.005),
        ),
        apply=elastic_transform,
    ),
    Corruption(
        name="pixelate",
        group="digital",
        summary="Scaled down by this factor with a box filter, and up again",
        small=(0.95, 0.9, 0.85, 0.75, 0.65),
        large=(0.6, 0.5, 0.4, 0.3, 0.25),
        apply=pixelate,
    ),
    Corruption(
        name="jpeg_compression",
        group="digital",
        summary="Stored as JPEG of this quality (of 100)",
        small=(80, 65, 58, 50, 40),
        large=(25, 18, 15, 10, 7),
        apply=jpeg_compression,
    ),
)

SATURATE = Corruption(
    name="saturate",
    group="extra",
    summary="HSV saturation multiplied by this, plus this",
    small=((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    large=((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    apply=saturate,
)
