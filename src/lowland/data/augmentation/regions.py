"""Rectangles of images: crops resized to the whole, and parts erased. Each image draws its own.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowland.data.augmentation.operations import warped

CROP_RATIOS = (3 / 4, 4 / 3)
"""Least and greatest width / height of a crop (Szegedy et al., arXiv:1409.4842, Section 6)."""
ERASED_SHARES, ERASED_RATIOS = (0.02, 1 / 3), (0.3, 3.3)
"""Least and greatest share of the area, and height / width, of an erased part (Zhong et al., arXiv:1708.04896)."""


def resized_crops(x_NCHW: Tensor, generator: torch.Generator, *, smallest: float) -> Tensor:
    """A random part of each image, resampled bilinearly to the size of the whole.

    The part's share of the area is uniform in `smallest` to 1, the logarithm of width / height uniform in ±log 4/3,
    its place uniform. Sides that would not fit are cut to the image's, where TorchVision draws again.

    Args:
        x_NCHW: uint8 images.
        generator: CPU generator.
        smallest: Share of the area, above 0, at most 1.

    Returns:
        uint8 (N, C, H, W), contiguous.
    """
    high_N, wide_N = _sides(len(x_NCHW), generator, (smallest, 1.0), CROP_RATIOS)
    high_N, wide_N = high_N.clamp(max=1.0), wide_N.clamp(max=1.0)
    height, width = x_NCHW.shape[2:]
    place_2N = torch.rand((2, len(x_NCHW)), generator=generator) - 0.5
    zero_N = torch.zeros_like(wide_N)
    right_N, below_N = place_2N[0] * (1 - wide_N) * width, place_2N[1] * (1 - high_N) * height
    maps_N6 = torch.stack((wide_N, zero_N, right_N, zero_N, high_N, below_N), dim=1)
    return warped(x_NCHW, maps_N6.view(-1, 2, 3))


def erased(x_NCHW: Tensor, generator: torch.Generator, *, probability: float, fill: tuple[int, ...]) -> Tensor:
    """Random erasing (Zhong et al. 2020, arXiv:1708.04896): a rectangle of each image, with `probability`.

    Its share of the area is uniform in 2 % to 33 %, the logarithm of height / width uniform between those of 0.3 and
    3.3, its place uniform. Sides that would not fit are cut to the image's, where the publication draws again.

    Args:
        x_NCHW: uint8 images; never changed.
        generator: CPU generator.
        probability: Of erasing anything in an image.
        fill: Level for each channel.

    Returns:
        uint8 (N, C, H, W) in the memory format of `x_NCHW`.
    """
    count, _, height, width = x_NCHW.shape
    high_N, wide_N = _sides(count, generator, ERASED_SHARES, ERASED_RATIOS, inverse=True)
    rows_N = (high_N * height).round().clamp(1, height)
    columns_N = (wide_N * width).round().clamp(1, width)
    draws_3N = torch.rand((3, count), generator=generator)
    rows_N = torch.where(draws_3N[0] < probability, rows_N, 0)
    top_N = (draws_3N[1] * (height - rows_N + 1)).floor()
    left_N = (draws_3N[2] * (width - columns_N + 1)).floor()
    row_H, column_W = torch.arange(height), torch.arange(width)
    inside_NH = (row_H >= top_N[:, None]) & (row_H < (top_N + rows_N)[:, None])
    inside_NW = (column_W >= left_N[:, None]) & (column_W < (left_N + columns_N)[:, None])
    inside_NH, inside_NW = inside_NH.to(x_NCHW.device), inside_NW.to(x_NCHW.device)
    inside_N1HW = (inside_NH[:, :, None] & inside_NW[:, None, :])[:, None]
    level_C11 = torch.tensor(fill, dtype=torch.uint8, device=x_NCHW.device).view(-1, 1, 1)
    # Products with 0 and 1 instead of torch.where, which is ten times slower on bytes.
    inside_N1HW = inside_N1HW.to(torch.uint8)
    return x_NCHW * (1 - inside_N1HW) + level_C11 * inside_N1HW


def _sides(
    count: int,
    generator: torch.Generator,
    shares: tuple[float, float],
    ratios: tuple[float, float],
    *,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """Height and width in units of the image's, with share = height·width and ratio = width / height or its inverse."""
    draws_2N = torch.rand((2, count), generator=generator)
    share_N = shares[0] + (shares[1] - shares[0]) * draws_2N[0]
    low, high = math.log(ratios[0]), math.log(ratios[1])
    ratio_N = (low + (high - low) * draws_2N[1]).exp()
    longer_N, shorter_N = (share_N * ratio_N).sqrt(), (share_N / ratio_N).sqrt()
    return (longer_N, shorter_N) if inverse else (shorter_N, longer_N)
