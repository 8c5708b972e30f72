"""What one corruption is: its name, group, constants and computation.

Tensor names: N images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lowland.data.images import UInt8

Levels = NDArray[np.float32]
Group = Literal["noise", "blur", "weather", "digital", "extra"]
GROUPS: tuple[Group, ...] = ("noise", "blur", "weather", "digital", "extra")
"""The publication's groups, in the order of its tables; `extra` are its four further ones, kept for validation."""

Draw = Callable[[int], np.random.Generator]
"""The generator of the image at a place in the batch; the same place gives a fresh, equal generator each time."""
Apply = Callable[[UInt8, Any, Draw], Levels | UInt8]
"""From uint8 (N, C, H, W) and a severity's constant to levels 0 to 255, which may overshoot at both ends."""
Constants = tuple[Any, Any, Any, Any, Any]

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue in the grey level of a colour (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One way of worsening images.

    Attributes:
        name: Its name in CIFAR-10-C and ImageNet-C.
        summary: What it does and what its constant means.
        group: Its group in the publication.
        small: The constant for severity 1 to 5 of CIFAR-10-C.
        large: The constant for severity 1 to 5 of ImageNet-C.
        apply: The computation.
    """

    name: str
    summary: str
    group: Group
    small: Constants
    large: Constants
    apply: Apply


def grey(x_NCHW: Levels) -> Levels:
    """Luminance of colour images, and grey images as they are: (N, 1, H, W)."""
    if x_NCHW.shape[1] == 1:
        return x_NCHW
    weighted: Levels = np.tensordot(x_NCHW, LUMINANCE, axes=(1, 0))[:, None]
    return weighted
