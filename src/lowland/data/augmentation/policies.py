"""Policies: which operations change an image, how strongly, and how the results are put together.

All draws come from one CPU generator, so they are the same on every device.

Tensor names: N images, C channels, H height, W width, K chains of AugMix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lowland.data.augmentation.operations import ENHANCING, OPERATIONS, apply, numbers

BINS = 31
"""Levels that TrivialAugment and RandAugment draw from, 0 the weakest."""
CHAINS, LONGEST_CHAIN = 3, 3
"""AugMix: chains mixed, and the most operations of one (Hendrycks et al., Section 3)."""
AUGMIX_SEVERITY = 0.3
"""AugMix: levels go up to 3 of 10 (the public code's --aug-severity)."""
RAND_COUNT, RAND_BIN = 2, 9
"""RandAugment: operations per image, and their bin (TorchVision's defaults)."""


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """The strongest level of each operation, reached at share 1; share 0 is the weakest.

    Attributes:
        shear: Tangent.
        translate: Share of the image's side.
        rotate: Degrees.
        enhance: The factor is 1 ± this.
        bits: `posterize` keeps from the first to the last of these.
    """

    shear: float
    translate: float
    rotate: float
    enhance: float
    bits: tuple[int, int]


WIDE = Ranges(shear=0.99, translate=1.0, rotate=135.0, enhance=0.99, bits=(8, 2))
"""TrivialAugment's (arXiv:2103.10158, Table 6), whose 32 pixels of translation are the side of a CIFAR image."""
RAND = Ranges(shear=0.3, translate=150 / 331, rotate=30.0, enhance=0.9, bits=(8, 4))
"""RandAugment's (arXiv:1909.13719) as in TorchVision."""
AUGMIX = Ranges(shear=0.3, translate=1 / 3, rotate=30.0, enhance=0.9, bits=(4, 0))
"""AugMix's, in the public code at level 10 of 10."""


def levels(operation_N: Tensor, share_N: Tensor, negative_N: Tensor, ranges: Ranges, height: int, width: int) -> Tensor:
    """What `operations.apply` is to be told: for each image the level of its operation at a share of the range.

    Args:
        operation_N: Numbers of operations, int64.
        share_N: 0 to 1.
        negative_N: Whether the level points the other way, where it has a direction.
        ranges: Of the policy.
        height: Of the images, pixels.
        width: The same.

    Returns:
        float32 (N,); 0 for operations without a level.
    """
    reach = dict.fromkeys(OPERATIONS, 0.0) | {"shear_x": ranges.shear, "shear_y": ranges.shear, "rotate": ranges.rotate}
    reach |= {"translate_x": ranges.translate * width, "translate_y": ranges.translate * height}
    reach |= dict.fromkeys(ENHANCING, ranges.enhance)
    level_N = torch.tensor(list(reach.values()))[operation_N] * share_N
    level_N = torch.where(negative_N, -level_N, level_N)
    weakest, strongest = ranges.bits
    others = {
        "posterize": (weakest - (weakest - strongest) * share_N).round().clamp_(min=1),
        "solarize": 255 * (1 - share_N),
    } | dict.fromkeys(ENHANCING, 1 + level_N)
    for name, value_N in others.items():
        level_N = torch.where(operation_N == OPERATIONS.index(name), value_N, level_N)
    return level_N


def trivial(x_NCHW: Tensor, generator: torch.Generator, *, which: str = "disjoint", strength: float = 1.0) -> Tensor:
    """TrivialAugment: one operation per image, uniform, at one of 31 levels, uniform (arXiv:2103.10158).

    Args:
        x_NCHW: uint8 images.
        generator: CPU generator.
        which: `all` operations, or those `disjoint` from the corruption benchmark.
        strength: Levels are drawn from this share of the published range.

    Returns:
        uint8 (N, C, H, W) in the memory format of `x_NCHW`.
    """
    share_N = torch.randint(BINS, (len(x_NCHW),), generator=generator) / (BINS - 1)
    return _changed(x_NCHW, share_N * strength, generator, which, WIDE)


def random_operations(
    x_NCHW: Tensor, generator: torch.Generator, *, which: str = "disjoint", strength: float = 1.0
) -> Tensor:
    """RandAugment: two operations per image one after the other, uniform, at level 9 of 30 (arXiv:1909.13719).

    Args:
        x_NCHW: uint8 images.
        generator: CPU generator.
        which: `all` operations, or those `disjoint` from the corruption benchmark.
        strength: Scales the level.

    Returns:
        uint8 (N, C, H, W) in the memory format of `x_NCHW`.
    """
    share_N = torch.full((len(x_NCHW),), strength * RAND_BIN / (BINS - 1))
    for _ in range(RAND_COUNT):
        x_NCHW = _changed(x_NCHW, share_N, generator, which, RAND)
    return x_NCHW


def augmix(x_NCHW: Tensor, generator: torch.Generator, *, which: str = "disjoint", strength: float = 1.0) -> Tensor:
    """AugMix: (1 − m)·x + m·Σₖ wₖ·chainₖ(x), rounded (Hendrycks et al., ICLR 2020, arXiv:1912.02781, Algorithm 1).

    Each of three chains is one to three operations, uniform, at levels uniform in 1 % to 30 % of the range;
    w ~ Dirichlet(1, 1, 1) and m ~ Beta(1, 1) for each image.

    Args:
        x_NCHW: uint8 images.
        generator: CPU generator.
        which: `all` operations, or those `disjoint` from the corruption benchmark, as published.
        strength: Scales the levels.

    Returns:
        uint8 (N, C, H, W) in the memory format of `x_NCHW`.
    """
    count = len(x_NCHW)
    length_KN = torch.randint(1, LONGEST_CHAIN + 1, (CHAINS, count), generator=generator)
    # Exponential values over their sum are Dirichlet(1, …, 1).
    weight_KN = -torch.log1p(-torch.rand((CHAINS, count), generator=generator))
    weight_KN *= torch.rand((count,), generator=generator) / weight_KN.sum(dim=0).clamp_(min=1e-12)
    chains = x_NCHW.repeat(CHAINS, 1, 1, 1)
    for done in range(LONGEST_CHAIN):
        going = (length_KN.view(-1) > done).nonzero().squeeze(1)
        share = 0.01 + (AUGMIX_SEVERITY - 0.01) * torch.rand(len(going), generator=generator)
        on_device = going.to(x_NCHW.device)
        chains[on_device] = _changed(chains[on_device], share * strength, generator, which, AUGMIX, identity=False)
    weight_KN111 = weight_KN.to(x_NCHW.device).view(CHAINS, count, 1, 1, 1)
    mixture = x_NCHW * (1 - weight_KN111.sum(dim=0))
    for weight_N111, chain in zip(weight_KN111, chains.chunk(CHAINS), strict=True):
        mixture += weight_N111 * chain
    return mixture.round_().clamp_(0, 255).to(torch.uint8)


def _changed(
    x_NCHW: Tensor,
    share_N: Tensor,
    generator: torch.Generator,
    which: str,
    ranges: Ranges,
    *,
    identity: bool = True,
) -> Tensor:
    """One operation on each image, drawn uniformly; directions are drawn with it."""
    count = len(x_NCHW)
    drawable = torch.tensor(numbers(which, x_NCHW.shape[1])[0 if identity else 1 :])
    operation_N = drawable[torch.randint(len(drawable), (count,), generator=generator)]
    negative_N = torch.randint(2, (count,), generator=generator).bool()
    return apply(x_NCHW, operation_N, levels(operation_N, share_N, negative_N, ranges, *x_NCHW.shape[2:]))


POLICIES: dict[str, Callable[..., Tensor]] = {"trivial": trivial, "rand": random_operations, "augmix": augmix}
"""Policies by the names that settings give them."""
