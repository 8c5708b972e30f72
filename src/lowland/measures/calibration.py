"""Batch-norm calibration: re-estimating running statistics for one path of a supernet, or for any network.

A supernet's running statistics are averages over many paths and fit none of them: without re-estimation one-shot
accuracy has no rank correlation with the truth at all. This is the only place where statistics are re-estimated.

Tensor names: N batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from typing import Literal

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from lowland.core.device import Compute
from lowland.core.errors import DataError
from lowland.core.genotype import Genotype
from lowland.core.inference import evaluating
from lowland.spaces.space import Supernet

Mode = Literal["cumulative", "batch", "ema-14", "ema-14-augmented"]

EMA_STEPS = 14
EMA_MOMENTUM = 0.1
"""The public code of RLNAS and GeNAS: 14 steps of (1 − 0.1)·running + 0.1·batch from (0, 1); 0.9¹⁴ = 22.9 % stays."""

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def calibrate(
    forward: Callable[[Tensor], object],
    batch_norms: Sequence[_BatchNorm],
    images: Sequence[Tensor],
    mode: Mode,
    compute: Compute,
) -> None:
    """Re-estimate the running statistics of `batch_norms` by running `forward` on training images.

    - `cumulative`: mean over the batches of their means and unbiased variances, each batch weighted by its number of
      images (torch's `momentum=None` where all batches are equally large).
    - `batch`: mean and unbiased variance of all images as one batch.
    - `ema-14`, `ema-14-augmented`: 14 exponential averages with momentum 0.1 from mean 0 and variance 1, cycling over
      the batches; the caller augments the images.

    Only the running statistics change; momentum and training flags are put back, also after an exception. Modules
    other than `batch_norms` run in the mode the caller has set.

    Args:
        forward: The network, (N, C, H, W) → anything.
        batch_norms: The batch-norm modules to calibrate; those without running statistics are left alone.
        images: Training-image batches (N, C, H, W) on the device.
        mode: How batches are averaged.
        compute: Where the arithmetic runs.

    Raises:
        DataError: there are no images.
    """
    if not images:
        raise DataError("batch-norm calibration got no training images; give at least one batch")
    tracked = [module for module in batch_norms if module.running_mean is not None]
    before = [(module, module.momentum, module.training) for module in tracked]
    try:
        for module in tracked:
            module.reset_running_stats()
            module.training = True
        with torch.inference_mode():
            for x_NCHW, momentum in _steps(images, mode):
                for module in tracked:
                    module.momentum = momentum
                # One autocast block per batch, so that no weight cast is remembered beyond it.
                with compute.autocast():
                    forward(x_NCHW)
    finally:
        for module, old_momentum, training in before:
            module.momentum = old_momentum
            module.training = training


def _steps(images: Sequence[Tensor], mode: Mode) -> Iterator[tuple[Tensor, float]]:
    """The batches to run and the weight that each one's statistics get against those before it."""
    if mode.startswith("ema-14"):
        yield from ((x_NCHW, EMA_MOMENTUM) for x_NCHW in islice(cycle(images), EMA_STEPS))
        return
    batches = [torch.cat(list(images))] if mode == "batch" and len(images) > 1 else images
    seen = 0
    for x_NCHW in batches:
        seen += len(x_NCHW)
        yield x_NCHW, len(x_NCHW) / seen


@contextmanager
def preserved(batch_norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Give `batch_norms` running statistics of their own within the block; the original tensors are never written."""
    original = [(module, {name: getattr(module, name) for name in _STATISTICS}) for module in batch_norms]
    try:
        for module, statistics in original:
            for name, value in statistics.items():
                setattr(module, name, None if value is None else value.clone())
        yield
    finally:
        for module, statistics in original:
            for name, value in statistics.items():
                setattr(module, name, value)


@contextmanager
def by_batch(batch_norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Within the block `batch_norms`, in evaluation mode, use mean and variance of the batch they see; none is kept."""
    original = [(module, module.running_mean, module.running_var) for module in batch_norms]
    try:
        for module in batch_norms:
            module.running_mean = module.running_var = None
        yield
    finally:
        for module, mean, variance in original:
            module.running_mean, module.running_var = mean, variance


def path_batch_norms(supernet: Supernet, genotype: Genotype) -> list[_BatchNorm]:
    """The batch-norm modules on the path of `genotype` that keep running statistics, each once."""
    suffix = ".running_mean"
    names = dict.fromkeys(name for name in supernet.inherited(genotype).values() if name.endswith(suffix))
    modules = [supernet.get_submodule(name.removesuffix(suffix)) for name in names]
    return [module for module in modules if isinstance(module, _BatchNorm)]


@contextmanager
def calibrated(
    supernet: Supernet, genotype: Genotype, images: Sequence[Tensor], mode: Mode, compute: Compute
) -> Iterator[None]:
    """Within the block `supernet` evaluates `genotype` with statistics of that path's own, in evaluation mode.

    Afterwards the supernet is bit-identical to what it was, training flags included, also after an exception.

    Args:
        supernet: The trained supernet.
        genotype: The path to calibrate.
        images: Training-image batches (N, C, H, W) on the device.
        mode: See `calibrate`.
        compute: Where the arithmetic runs.

    Raises:
        DataError: there are no images.
    """
    batch_norms = path_batch_norms(supernet, genotype)
    with evaluating(supernet), preserved(batch_norms):
        calibrate(lambda x_NCHW: supernet(x_NCHW, genotype), batch_norms, images, mode, compute)
        yield
