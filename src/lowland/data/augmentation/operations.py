"""The operations that augmentation policies draw from, each image of a batch with a level of its own.

They are those of TorchVision and agree with it; here one call serves a whole batch of different levels. Images are
grouped by operation, and all geometric ones are one resampling.

Tensor names: N images, G images of one group, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

GEOMETRIC = ("shear_x", "shear_y", "translate_x", "translate_y", "rotate")
ENHANCING = ("brightness", "color", "contrast", "sharpness")
"""What the corruption benchmark changes too (contrast and brightness, saturation and blur); AugMix leaves them out."""
OPERATIONS = ("identity", *GEOMETRIC, *ENHANCING, "posterize", "solarize", "autocontrast", "equalize")
"""The fourteen of TrivialAugment. A place in this tuple is an operation's number."""


def numbers(which: str, channels: int) -> tuple[int, ...]:
    """The numbers of `all` operations, or of those `disjoint` from the corruption benchmark; on grey images no colour.

    Returns:
        Places in `OPERATIONS`, rising.
    """
    left_out = set(ENHANCING) if which == "disjoint" else set()
    if channels == 1:
        left_out.add("color")
    return tuple(number for number, name in enumerate(OPERATIONS) if name not in left_out)


def apply(x_NCHW: Tensor, operation_N: Tensor, level_N: Tensor) -> Tensor:
    """Each image changed by its own operation at its own level.

    | operation | level |
    |---|---|
    | `shear_x`, `shear_y` | tangent of the angle; the top left corner stays |
    | `translate_x`, `translate_y` | pixels to the right, down |
    | `rotate` | degrees, counter-clockwise about the middle |
    | `brightness`, `color`, `contrast`, `sharpness` | factor: 0 black, grey, flat, smoothed; 1 unchanged |
    | `posterize` | bits kept, 1 to 8 |
    | `solarize` | pixels of at least this grey level are inverted |
    | `identity`, `autocontrast`, `equalize` | none |

    Geometric operations resample bilinearly and fill with zeros.

    Args:
        x_NCHW: uint8 images with 1 or 3 channels, in any memory format; never changed.
        operation_N: Number of each image's operation, int64 on the CPU.
        level_N: float32 on the CPU.

    Returns:
        uint8 (N, C, H, W) in the memory format of `x_NCHW`.
    """
    result_NCHW = x_NCHW.clone()
    present = sorted(set(operation_N.tolist()))
    geometric_N = (operation_N >= OPERATIONS.index(GEOMETRIC[0])) & (operation_N <= OPERATIONS.index(GEOMETRIC[-1]))
    groups: list[tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]] = []
    if geometric_N.any():
        places_G = geometric_N.nonzero().squeeze(1)
        maps_G23 = _maps(operation_N[places_G], level_N[places_G], *x_NCHW.shape[2:])
        groups.append((places_G, lambda x, _: warped(x, maps_G23)))
    for number in present:
        if OPERATIONS[number] in _KERNELS:
            groups.append(((operation_N == number).nonzero().squeeze(1), _KERNELS[OPERATIONS[number]]))
    for places_G, kernel in groups:
        on_device_G = places_G.to(x_NCHW.device)
        level_G111 = level_N[places_G].to(x_NCHW.device).view(-1, 1, 1, 1)
        result_NCHW[on_device_G] = kernel(x_NCHW[on_device_G], level_G111)
    return result_NCHW


def warped(x_NCHW: Tensor, maps_N23: Tensor) -> Tensor:
    """Images resampled bilinearly: pixel (x, y) is taken from (a·x + b·y + c, d·x + e·y + f), outside is 0.

    Args:
        x_NCHW: uint8.
        maps_N23: ((a, b, c), (d, e, f)) of each image, in pixels from the middle, y downwards; float32.

    Returns:
        uint8 (N, C, H, W), contiguous.
    """
    height, width = x_NCHW.shape[2:]
    # affine_grid counts in half sides.
    scale_23 = torch.tensor([[1.0, height / width, 2 / width], [width / height, 1.0, 2 / height]])
    grid_NHW2 = F.affine_grid((maps_N23 * scale_23).to(x_NCHW.device), list(x_NCHW.shape), align_corners=False)
    return F.grid_sample(x_NCHW.float(), grid_NHW2, align_corners=False).round_().to(torch.uint8)


def _maps(operation_G: Tensor, level_G: Tensor, height: int, width: int) -> Tensor:
    """For `warped`: where pixels come from, the inverse of each operation; (G, 2, 3) float32."""

    def level(name: str) -> Tensor:
        return torch.where(operation_G == OPERATIONS.index(name), level_G, 0.0)

    angle_G, across_G, down_G = level("rotate").deg2rad(), level("shear_x"), level("shear_y")
    cos_G, sin_G = angle_G.cos(), angle_G.sin()
    right_G = across_G * height / 2 - level("translate_x")
    below_G = down_G * width / 2 - level("translate_y")
    rows = (cos_G, across_G - sin_G, right_G, down_G + sin_G, cos_G, below_G)
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def _towards(x: Tensor, base: Tensor, factor: Tensor) -> Tensor:
    """Base + factor·(x − base), cut to 0 … 255."""
    return (x * factor + base * (1 - factor)).clamp_(0, 255).to(torch.uint8)


def _torchvision() -> Any:
    from torchvision.transforms.v2 import functional  # here: with its detection models it takes seconds to import

    return functional


def _grey(x: Tensor) -> Tensor:
    if x.shape[1] == 1:
        return x
    grey: Tensor = _torchvision().rgb_to_grayscale(x)
    return grey


def _contrast(x: Tensor, factor: Tensor) -> Tensor:
    return _towards(x, _grey(x).float().mean(dim=(1, 2, 3), keepdim=True), factor)


def _posterize(x: Tensor, bits: Tensor) -> Tensor:
    return x & (256 - 2 ** (8 - bits)).to(torch.uint8)


_KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": lambda x, factor: _towards(x, torch.zeros_like(x), factor),
    "color": lambda x, factor: _towards(x, _grey(x), factor),
    "contrast": _contrast,
    "sharpness": lambda x, factor: _towards(x, _torchvision().adjust_sharpness(x, 0.0), factor),
    "posterize": _posterize,
    "solarize": lambda x, threshold: torch.where(x >= threshold, 255 - x, x),
    "autocontrast": lambda x, _: _torchvision().autocontrast(x),
    "equalize": lambda x, _: _torchvision().equalize(x),
}
