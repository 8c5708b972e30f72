"""Pictures and their labels as training shows them: scaled, cut out, mirrored, distorted in brightness and colour.

Sources: MMSegmentation 1.2.2, `_base_/datasets/cityscapes.py` and its transforms RandomResize, RandomCrop, RandomFlip
and PhotoMetricDistortion. All is drawn from the generator given.

Tensor names: H height, W width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as transforms

from lowland.data.segmentation.classes import IGNORED

DRAWS = 10
"""How often a crop is drawn anew while one class fills too much of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """How training pictures are changed.

    Attributes:
        base: Longest and shortest side, pixels: pictures are scaled so that neither is above.
        scale: Least and largest factor on top of that, uniform.
        crop: Height and width of what is cut out; smaller pictures are padded.
        fullest: Share of the pixels that count above which a single class makes the crop be drawn anew.
        flip: Share of pictures that are mirrored.
        distort: Whether brightness, contrast, saturation and hue change.
    """

    base: tuple[int, int]
    scale: tuple[float, float] = (0.5, 2.0)
    crop: tuple[int, int]
    fullest: float = 0.75
    flip: float = 0.5
    distort: bool = True


def scaled_size(height: int, width: int, base: tuple[int, int], factor: float = 1.0) -> tuple[int, int]:
    """Height and width of a picture that just fits into `factor` times the base, its shape kept.

    With f = min(long/max(H, W), short/min(H, W)): H·f and W·f, rounded half up, at least 1 (MMCV's rescale_size).

    Example:
        >>> scaled_size(1024, 2048, (2048, 1024), 0.5)
        (512, 1024)

    Returns:
        (height, width), pixels.
    """
    longest, shortest = (int(side * factor + 0.5) for side in base)
    share = min(longest / max(height, width), shortest / min(height, width))
    return max(1, int(height * share + 0.5)), max(1, int(width * share + 0.5))


def resized(x_3HW: Tensor, size: tuple[int, int]) -> Tensor:
    """A uint8 picture at another size, bilinear with antialiasing."""
    if tuple(x_3HW.shape[1:]) == size:
        return x_3HW
    return functional.interpolate(x_3HW[None], size, mode="bilinear", antialias=True)[0]


def augmented(
    x_3HW: Tensor, labels_HW: Tensor, how: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A training picture.

    Args:
        x_3HW: uint8, RGB.
        labels_HW: uint8, 0 … K − 1 or `IGNORED`.
        how: What is done to it.
        rng: Draws everything.

    Returns:
        The picture (3, h, w), float32 from 0 to 255, its labels (h, w), `IGNORED` in the padding, and which pixels are
        no padding, bool (h, w).
    """
    height, width = labels_HW.shape
    size = scaled_size(height, width, how.base, rng.uniform(*how.scale))
    x_3HW = resized(x_3HW, size)
    labels_HW = functional.interpolate(labels_HW[None, None], size, mode="nearest-exact")[0, 0]
    top, left = _place(labels_HW, how, rng)
    rows, columns = slice(top, top + how.crop[0]), slice(left, left + how.crop[1])
    x_3HW, labels_HW = x_3HW[:, rows, columns].float(), labels_HW[rows, columns]
    if rng.random() < how.flip:
        x_3HW, labels_HW = x_3HW.flip(2), labels_HW.flip(1)
    if how.distort:
        x_3HW = distorted(x_3HW, rng)
    padding = (0, how.crop[1] - labels_HW.shape[1], 0, how.crop[0] - labels_HW.shape[0])
    inside_HW = functional.pad(torch.ones_like(labels_HW, dtype=torch.bool), padding)
    return functional.pad(x_3HW, padding), functional.pad(labels_HW, padding, value=IGNORED), inside_HW


def _place(labels_HW: Tensor, how: Augmentation, rng: np.random.Generator) -> tuple[int, int]:
    """Top and left of a crop in which no class fills more than `how.fullest`, where so many draws find one."""
    spare = [max(side - wanted, 0) for side, wanted in zip(labels_HW.shape, how.crop, strict=True)]
    for _ in range(DRAWS):
        top, left = (int(rng.integers(0, each + 1)) for each in spare)
        part = labels_HW[top : top + how.crop[0], left : left + how.crop[1]]
        counts = torch.bincount(part.flatten(), minlength=IGNORED + 1)[:IGNORED]
        if int((counts > 0).sum()) > 1 and int(counts.max()) < how.fullest * int(counts.sum()):
            break
    return top, left


def distorted(x_3HW: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness +U(−32, 32), contrast ×U(.5, 1.5), saturation ×U(.5, 1.5), hue ±18°, each with probability 1/2.

    Contrast comes first or last of the latter three, each with probability 1/2. Saturation and hue are those of HSV;
    hue is ±0.1 of the circle (MMSegmentation's 18 of 180 steps).

    Args:
        x_3HW: RGB, float32 from 0 to 255.
        rng: Draws everything.

    Returns:
        The picture, within 0 and 255.
    """
    if rng.random() < 0.5:
        x_3HW = (x_3HW + rng.uniform(-32, 32)).clamp(0, 255)
    first = rng.random() < 0.5
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    if first:
        x_3HW = (x_3HW * contrast).clamp(0, 255)
    if rng.random() < 0.5:
        x_3HW = saturated(x_3HW, rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        x_3HW = transforms.adjust_hue(x_3HW / 255, rng.uniform(-0.1, 0.1)) * 255
    if not first:
        x_3HW = (x_3HW * contrast).clamp(0, 255)
    return x_3HW


def saturated(x_3HW: Tensor, factor: float) -> Tensor:
    """S ← min(1, factor·S) in HSV: with V = max and S = (V − min)/V of the channels, x ← V − (V − x)·min(factor, 1/S).

    Example:
        >>> saturated(torch.tensor([100.0, 50.0, 75.0])[:, None, None], 1.5).flatten()
        tensor([100.0000,  25.0000,  62.5000])

    Returns:
        The picture; grey pixels stay as they are.
    """
    value_1HW, least_1HW = x_3HW.amax(0, keepdim=True), x_3HW.amin(0, keepdim=True)
    most_1HW = value_1HW / (value_1HW - least_1HW).clamp(min=1e-6)
    return value_1HW - (value_1HW - x_3HW) * most_1HW.clamp(max=factor)
