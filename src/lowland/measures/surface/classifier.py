"""The objective of a classifier: images in, logits out, labels to hold them against; its batches can be cut."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lowland.core.device import Compute
from lowland.core.errors import ConfigError, DataError
from lowland.measures import per_image
from lowland.measures.curvature.operator import Piece
from lowland.measures.per_image import Evaluate, Loss
from lowland.measures.surface.objective import Objective, with_graph

GROUPS = 8
"""Pieces that images are divided into at least, where there are as many, for standard errors to go by."""


def classification(
    batches: Sequence[tuple[Tensor, Tensor]],
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    compute: Compute,
    loss: Loss = cross_entropy,
) -> Objective:
    """The objective of a classifier.

    Args:
        batches: Images and labels, on any device.
        model: images (N, …) → logits, in evaluation mode.
        parameters: What is differentiated by.
        compute: Where the arithmetic runs.
        loss: As in `torch.nn.functional`.

    Returns:
        The objective, whose units are images.
    """
    checked = _Checked(model, batches, loss)

    def mean(x: Tensor, labels_N: Tensor) -> Tensor:
        logits = checked.forward(place(x, model, compute))
        return checked.losses(logits, labels_N.to(compute.device), reduction="none").mean()

    def pieces(limit: int | None) -> list[Piece]:
        total = sum(len(labels_N) for _, labels_N in batches)
        left = total if limit is None else min(limit, total)
        most = -(-left // GROUPS)
        found = []
        for x, labels_N in batches:
            kept = min(left, len(labels_N))
            left -= kept
            for start in range(0, kept, most):
                cut = slice(start, min(start + most, kept))
                part = partial(mean, x[cut], labels_N[cut])
                found.append(Piece(len(labels_N[cut]), partial(with_graph, part, model, parameters, compute)))
        return found

    images = sum(len(labels_N) for _, labels_N in batches)
    return Objective(evaluate=evaluator(model, batches, compute, loss), pieces=pieces, images=images, accuracy=True)


def evaluator(
    model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], compute: Compute, loss: Loss = cross_entropy
) -> Evaluate:
    """Make the function that evaluates `model`, with the weights it then holds and in the mode it is in, on `batches`.

    Args:
        model: As for `flatness`.
        batches: Images and labels, on any device.
        compute: Where the arithmetic runs.
        loss: As for `flatness`.

    Returns:
        Loss and correctness of every image, when called. It then raises DataError where there are no images, or labels
        and logits do not fit, and NotFiniteError where a loss is not finite.
    """
    checked = _Checked(model, batches, loss)

    def placed() -> Iterator[tuple[Tensor, Tensor]]:
        for x, labels_N in batches:
            yield place(x, model, compute), labels_N.to(compute.device)

    return lambda: per_image.evaluate(checked.forward, placed(), compute, checked.losses)


class _Checked:
    """A model and a loss whose results are looked at before they are believed."""

    def __init__(self, model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]], loss: Loss) -> None:
        self.model, self.loss = model, loss
        self.highest = max((int(labels_N.max()) for _, labels_N in batches), default=0)

    def forward(self, x: Tensor) -> Tensor:
        """Images → logits (N, classes)."""
        logits = _logits(self.model(x))
        if logits.ndim != 2 or len(logits) != len(x):
            raise DataError(
                f"the model returned logits of shape {tuple(logits.shape)} for {len(x)} images; "
                f"a classifier returns ({len(x)}, classes); of any other model say what its loss is with loss_fn"
            )
        if self.highest >= logits.shape[1]:
            raise DataError(
                f"label {self.highest} does not exist for a model of {logits.shape[1]} classes; labels run from 0 to "
                f"{logits.shape[1] - 1}"
            )
        return logits

    def losses(self, logits: Tensor, labels_N: Tensor, /, *, reduction: str) -> Tensor:
        """Logits and labels → the loss of every image (N,)."""
        losses_N = self.loss(logits, labels_N, reduction=reduction)
        if losses_N.shape != labels_N.shape:
            raise ConfigError(
                f"the loss returned shape {tuple(losses_N.shape)} for {len(labels_N)} images; with reduction='none' it "
                "must return one value per image"
            )
        return losses_N


def read(loader: Iterable[tuple[Tensor, Tensor]], limit: int | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Checked batches, up to `limit` images in all."""
    left = math.inf if limit is None else limit
    for index, batch in enumerate(loader):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise DataError(f"batch {index} of the loader is a {type(batch).__name__}; expected (images, labels)")
        x, labels_N = batch[0], torch.as_tensor(batch[1])
        if labels_N.ndim != 1 or labels_N.is_floating_point() or len(labels_N) != len(x):
            raise DataError(
                f"labels of batch {index} have shape {tuple(labels_N.shape)} and type {labels_N.dtype}; "
                f"expected {len(x)} integers, one per image"
            )
        if len(labels_N) and int(labels_N.min()) < 0:
            raise DataError(f"batch {index} holds the label {int(labels_N.min())}; labels run from 0")
        keep = int(min(left, len(labels_N)))
        if keep:
            yield x[:keep], labels_N[:keep].long()
        left -= keep
        if left <= 0:
            return


def place(x: Tensor, model: nn.Module, compute: Compute) -> Tensor:
    """Images on the device; floating-point images in the precision of the model's weights."""
    weight: Tensor | None = next((value for value in model.parameters() if value.is_floating_point()), None)
    if weight is not None and x.is_floating_point():
        x = x.to(weight.dtype)
    return compute.place(x)


def _logits(output: Any) -> Tensor:
    """The logits in what a model returned."""
    if isinstance(output, Mapping) and "logits" in output:
        output = output["logits"]
    elif hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        raise DataError(
            f"the model returned a {type(output).__name__}; expected logits, an object with .logits, or a tuple of them"
        )
    return output
