"""The objective of any model: whatever loss a function of the caller's gives on batches of any make.

Array names: N images, B batches, U units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lowland.core.device import Compute
from lowland.core.errors import ConfigError, DataError, NotFiniteError
from lowland.measures.curvature.operator import Piece
from lowland.measures.per_image import Array, ImageResults
from lowland.measures.surface.batch import moved, size_of
from lowland.measures.surface.isolation import alike
from lowland.measures.surface.objective import Objective, with_graph

LossFn = Callable[[nn.Module, Any], Tensor]
"""(model, batch) → the loss of every image (N,), or their mean, a scalar."""


def any_loss(
    loss_fn: LossFn,
    batches: Sequence[Any],
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    compute: Compute,
    *,
    seed: int,
    single: bool,
) -> Objective:
    """The objective of `loss_fn` on batches of any make, which cannot be cut.

    Every call finds the model in evaluation mode and torch's random numbers at a seed of that batch, so that one loss
    can be held against another; what the call does to flags, buffers and random numbers is undone.

    Args:
        loss_fn: The loss.
        batches: Whatever it takes, at least one.
        model: What it is given.
        parameters: What is differentiated by.
        compute: Where the arithmetic runs.
        seed: Seed of the random numbers.
        single: Whether half precision in batches becomes fp32, as the model did.

    Returns:
        The objective. Where `loss_fn` gives one value per batch, batches are the units of standard errors, each weighed
        by the number of its images.

    Raises:
        ConfigError: what `loss_fn` returns is no loss.
        DataError: it gave nothing for any batch.
    """

    def loss(index: int) -> Tensor:
        with alike(model, seed, index, compute.device):
            found = loss_fn(model, moved(batches[index], compute.device, single))
        return _checked(found, index, size_of(batches[index]))

    def losses() -> list[Tensor]:
        with torch.no_grad(), compute.autocast():
            return [loss(index) for index in range(len(batches))]

    clean = losses()
    by_image = clean[0].ndim == 1
    if any((each.ndim == 1) != by_image for each in clean):
        raise ConfigError("loss_fn gave one loss per image for some batches and one for others; decide for one of them")
    known = [len(each) if by_image else size_of(batch) for each, batch in zip(clean, batches, strict=True)]
    sizes = [1 if None in known else int(size or 0) for size in known]
    if not sum(sizes):
        raise DataError("the loader gave no images; flatness needs at least one batch that is not empty")

    def evaluate() -> ImageResults:
        values_U = _by_image(losses()) if by_image else _by_batch(losses(), sizes)
        return ImageResults(values_U, np.full(len(values_U), np.nan))

    def pieces(limit: int | None) -> list[Piece]:
        found: list[Piece] = []
        for index, size in enumerate(sizes):
            if limit is not None and sum(piece.images for piece in found) >= limit:
                break
            mean = partial(_mean, partial(loss, index))
            found += [Piece(size, partial(with_graph, mean, model, parameters, compute))] if size else []
        return found

    notes = [] if by_image else ["loss_fn gave one loss per batch: standard errors are over batches"]
    if not by_image and None in known:
        notes.append("batches do not tell how many images they hold, so all of them count alike")
    return Objective(evaluate=evaluate, pieces=pieces, images=sum(sizes), accuracy=False, notes=tuple(notes))


def _mean(loss: Callable[[], Tensor]) -> Tensor:
    return loss().mean()


def _checked(found: Any, index: int, size: int | None) -> Tensor:
    """The loss of a batch, which may be one value per image or their mean, in fp32 or better."""
    expected = "expected a tensor: the loss of every image, shape (N,), or their mean, a scalar"
    if not isinstance(found, Tensor):
        sums = "; of a dict of losses return sum(losses.values())" if isinstance(found, Mapping) else ""
        raise ConfigError(f"loss_fn returned a {type(found).__name__} for batch {index}; {expected}{sums}")
    if found.ndim > 1 or not found.is_floating_point():
        raise ConfigError(f"loss_fn returned shape {tuple(found.shape)}, {found.dtype}, for batch {index}; {expected}")
    if found.ndim == 1 and size is not None and len(found) != size:
        raise ConfigError(
            f"loss_fn returned {len(found)} losses for batch {index} of {size} images; return one per image, or their "
            "mean as a scalar"
        )
    return found.float() if found.dtype in (torch.float16, torch.bfloat16) else found


def _by_image(losses: Sequence[Tensor]) -> Array:
    values_N: Array = torch.cat(list(losses)).cpu().double().numpy()
    return _finite(values_N, [len(each) for each in losses])


def _by_batch(losses: Sequence[Tensor], sizes: Sequence[int]) -> Array:
    """One value per batch, whose plain mean is the mean over images and whose spread is that of the batches' losses.

    Returns:
        L + n_b·B/N·(L_b − L) with n_b images in batch b, N in all and B batches: the linearised ratio estimate.
    """
    kept = [(loss, size) for loss, size in zip(losses, sizes, strict=True) if size]
    losses_B: Array = torch.stack([loss for loss, _ in kept]).cpu().double().numpy()
    weights_B = np.array([size for _, size in kept], dtype=np.float64)
    mean = float(_finite(losses_B, [1] * len(kept)) @ weights_B / weights_B.sum())
    values_B: Array = mean + weights_B / weights_B.mean() * (losses_B - mean)
    return values_B


def _finite(values: Array, sizes: Sequence[int]) -> Array:
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        batch = int(np.searchsorted(np.cumsum(sizes), bad[0], side="right"))
        raise NotFiniteError(f"loss is not finite ({values[bad[0]]}, first in batch {batch})")
    return values
