"""Weather: snow, frost, fog and brightness, and spatter of the extra ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lowland.data.corruptions.entry import LUMINANCE, Corruption, Draw, Levels, grey
from lowland.data.corruptions.filters import apply, gaussian, motion, zoom
from lowland.data.corruptions.textures import PANES, frost, plasma
from lowland.data.images import UInt8

WATER = np.array([175, 238, 238], dtype=np.float32)
MUD = np.array([63, 42, 20], dtype=np.float32)


def snow(x: UInt8, constants: tuple[float, float, float, float, int, float, float], draw: Draw) -> Levels:
    """The image paled towards white, and flakes: enlarged and thresholded noise blurred along a falling line.

    The flakes are laid over once upright and once turned by 180°.

    Returns:
        Levels of the shape of `x`, not yet rounded; they may exceed 255.
    """
    mean, std, factor, threshold, radius, sigma, kept = constants
    count, _, height, width = x.shape
    flakes = np.empty((count, 1, height, width), dtype=np.float32)
    angles = np.empty(count)
    for i in range(count):
        rng = draw(i)
        flakes[i, 0] = mean + std * rng.standard_normal((height, width), dtype=np.float32)
        angles[i] = rng.uniform(-135, -45)
    flakes = apply(zoom(height, width, (factor,)), flakes)
    flakes[flakes < threshold] = 0
    flakes = np.rint(255 * motion(np.minimum(flakes, 1), radius, sigma, angles))
    levels = x.astype(np.float32)
    pale = np.float32(kept) * levels + np.float32(1 - kept) * np.maximum(levels, 1.5 * grey(levels) + 127.5)
    result: Levels = pale + flakes + flakes[:, :, ::-1, ::-1]
    return result


def frosted(x: UInt8, constants: tuple[float, float, bool], draw: Draw) -> Levels:
    """A weighted sum of the image and a random part of a random frost texture (see `corruptions_textures`)."""
    image, ice, small = constants
    count, channels, height, width = x.shape
    result = x * np.float32(image)
    for i in range(count):
        rng = draw(i)
        texture = frost(int(rng.integers(len(PANES))), (height, width), channels, small)
        top, left = rng.integers(0, texture.shape[1] - height), rng.integers(0, texture.shape[2] - width)
        result[i] += np.float32(ice) * texture[:, top : top + height, left : left + width]
    return result


def fog(x: UInt8, constants: tuple[float, float], draw: Draw) -> Levels:
    """Plasma clouds added, and the sum scaled so that the brightest possible value is the image's own brightest."""
    density, decay = constants
    count, _, height, width = x.shape
    side = 1 << (max(height, width) - 1).bit_length()
    noise = np.stack([draw(i).random((side, side), dtype=np.float32) for i in range(count)]) * 2 - 1
    clouds = 255 * np.float32(density) * plasma(noise, decay)[:, None, :height, :width]
    brightest = x.max(axis=(1, 2, 3), keepdims=True).astype(np.float32)
    result: Levels = (x + clouds) * (brightest / (brightest + np.float32(255 * density)))
    return result


def brightness(x: UInt8, added: float, draw: Draw) -> Levels:
    """The HSV value raised, hue and saturation kept."""
    # With hue and saturation fixed, a colour is proportional to its value V = max(R, G, B); black has no hue: grey.
    value = x.max(axis=1, keepdims=True).astype(np.float32)
    brighter = np.minimum(value + np.float32(255 * added), 255)
    result: Levels = np.where(value > 0, x * (brighter / np.maximum(value, 1)), brighter)
    return result


def spatter(x: UInt8, constants: tuple[float, float, float, float, float, bool], draw: Draw) -> Levels:
    """Drops of water or splashes of mud on the lens, where smoothed noise exceeds a threshold."""
    mean, std, smooth, threshold, strength, mud = constants
    count, channels, height, width = x.shape
    liquid = np.stack([draw(i).standard_normal((height, width), dtype=np.float32) for i in range(count)])[:, None]
    liquid = gaussian(mean + std * liquid, smooth)
    liquid[liquid < threshold] = 0
    colour = (MUD if mud else WATER)[:, None, None]
    if channels == 1:
        colour = (LUMINANCE @ (MUD if mud else WATER))[None, None, None]
    levels = x.astype(np.float32)
    if mud:
        cover = gaussian((liquid > threshold).astype(np.float32), strength)
        cover[cover < 0.8] = 0
        splashed: Levels = levels * (1 - cover) + colour * cover
        return splashed
    drops = np.stack([_drops(image[0]) for image in liquid])[:, None]
    wet: Levels = levels + np.float32(strength) * drops * colour
    return wet


def _drops(liquid: Levels) -> Levels:
    """How much light each pixel (H, W) of a water layer adds, at most 1: most near the drops' edges, on one side."""
    layer = np.floor(np.minimum(liquid, 1) * 255)
    edges = _edges(layer)
    distance = np.minimum(ndimage.distance_transform_edt(~edges), 20) if edges.any() else np.full(layer.shape, 20.0)
    relief = _equalised(np.floor(_box(distance) + 1e-6))
    lit = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    relief = np.clip(ndimage.correlate(relief, lit, mode="mirror"), 0, 255)
    light = layer * _box(relief)
    brightest = light.max()
    share: Levels = (light / brightest if brightest > 0 else light).astype(np.float32)
    return share


def _edges(layer: Levels) -> NDArray[np.bool_]:
    """Canny's edges of levels (H, W) with thresholds 50 and 150 on |∂x| + |∂y| by Sobel."""
    down, right = (ndimage.sobel(layer.astype(np.float64), axis=axis, mode="nearest") for axis in (0, 1))
    size = abs(down) + abs(right)
    around = np.pad(size, 1)
    # The gradient's direction to the nearest 45°, as a step to one of four neighbours.
    octant = np.rint(np.arctan2(down, right) / (np.pi / 4)).astype(np.int64) % 4
    step_down, step_right = np.array([0, 1, 1, 1])[octant], np.array([1, 1, 0, -1])[octant]
    rows, columns = np.indices(size.shape) + 1
    thin = (size > around[rows - step_down, columns - step_right]) & (
        size >= around[rows + step_down, columns + step_right]
    )
    labels, _ = ndimage.label(thin & (size > 50), structure=np.ones((3, 3)))
    strong = np.unique(labels[thin & (size > 150)])
    kept: NDArray[np.bool_] = np.isin(labels, strong[strong > 0])
    return kept


def _box(levels: Levels) -> Levels:
    """Mean of 3 × 3 pixels, edges mirrored."""
    mean: Levels = ndimage.uniform_filter(levels.astype(np.float64), 3, mode="mirror")
    return mean


def _equalised(levels: Levels) -> Levels:
    """Whole levels spread so that each holds about as many pixels as any other."""
    counts = np.bincount(levels.astype(np.int64).ravel(), minlength=256)
    below = counts.cumsum()
    first = counts[np.flatnonzero(counts)[0]]
    if first == levels.size:
        return levels
    spread: Levels = np.rint((below - first) * (255 / (levels.size - first)))[levels.astype(np.int64)]
    return spread


WEATHER = (
    Corruption(
        name="snow",
        group="weather",
        summary="Flakes: noise's mean and deviation, zoom, threshold, motion's radius and width; share of image kept",
        small=(
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        large=(
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        apply=snow,
    ),
    Corruption(
        name="frost",
        group="weather",
        summary="This much of the image plus this much of an icy texture, at the scale of small images or not",
        small=((1, 0.2, True), (1, 0.3, True), (0.9, 0.4, True), (0.85, 0.4, True), (0.75, 0.45, True)),
        large=((1, 0.4, False), (0.8, 0.6, False), (0.7, 0.7, False), (0.65, 0.7, False), (0.6, 0.75, False)),
        apply=frosted,
    ),
    Corruption(
        name="fog",
        group="weather",
        summary="Plasma clouds of this density, whose small parts grow fainter by this factor",
        small=((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        large=((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        apply=fog,
    ),
    Corruption(
        name="brightness",
        group="weather",
        summary="This share of white added to the HSV value, hue and saturation kept; grey images: to the level",
        small=(0.05, 0.1, 0.15, 0.2, 0.3),
        large=(0.1, 0.2, 0.3, 0.4, 0.5),
        apply=brightness,
    ),
)

SPATTER = Corruption(
    name="spatter",
    group="extra",
    summary="Drops on the lens: noise's mean, deviation and smoothing, threshold, strength; mud instead of water",
    small=(
        (0.62, 0.1, 0.7, 0.7, 0.5, False),
        (0.65, 0.1, 0.8, 0.7, 0.5, False),
        (0.65, 0.3, 1, 0.69, 0.5, False),
        (0.65, 0.1, 0.7, 0.69, 0.6, True),
        (0.65, 0.1, 0.5, 0.68, 0.6, True),
    ),
    large=(
        (0.65, 0.3, 4, 0.69, 0.6, False),
        (0.65, 0.3, 3, 0.68, 0.6, False),
        (0.65, 0.3, 2, 0.68, 0.5, False),
        (0.65, 0.3, 1, 0.65, 1.5, True),
        (0.67, 0.4, 1, 0.65, 1.5, True),
    ),
    apply=spatter,
)
