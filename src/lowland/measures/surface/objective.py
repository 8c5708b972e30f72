"""What is looked at: a model's loss on images kept in memory, by unit for evaluations, by piece for derivatives.

Array names: B pieces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lowland.core.device import Compute
from lowland.core.errors import ConfigError
from lowland.measures.curvature.operator import Hessian, Piece
from lowland.measures.per_image import Evaluate


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """A model's loss on some images.

    Attributes:
        evaluate: Loss and correctness of every unit, an image or a batch, with the weights as they are.
        pieces: At most `limit` images in pieces of which each fits into memory with its graph.
        images: How many images `evaluate` looks at.
        accuracy: Whether `correct_N` means anything.
        notes: What a person should know about how images were counted.
    """

    evaluate: Evaluate
    pieces: Callable[[int | None], Sequence[Piece]]
    images: int
    accuracy: bool
    notes: tuple[str, ...] = ()


class ModelHessian(Hessian):
    """Hessian of a model's mean loss by its own parameters, which require gradients meanwhile."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], pieces: Sequence[Piece], seed: int) -> None:
        super().__init__(parameters, sum(piece.images for piece in pieces), seed)
        self._all = list(pieces)

    def groups(self, count: int) -> Iterator[Sequence[Piece]]:
        """The pieces in at most `count` groups of about as many images, in order."""
        ends = np.cumsum([piece.images for piece in self._all])
        group_B = np.minimum((ends - 1) * count // ends[-1], count - 1)
        for group in np.unique(group_B):
            yield [piece for piece, own in zip(self._all, group_B, strict=True) if own == group]


def with_graph(
    loss: Callable[[], Tensor],
    model: nn.Module,
    parameters: Mapping[str, nn.Parameter],
    compute: Compute,
    graph: bool,
) -> tuple[Tensor, list[Tensor]]:
    """A mean loss in the weights' own precision, with a graph that can be differentiated twice where `graph`."""
    leaves: list[Tensor] = list(parameters.values())
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(compute.device.type, enabled=False))
        stack.enter_context(torch.set_grad_enabled(graph))
        if graph:
            # Other kernels of attention, and cuDNN's recurrent ones, have no second derivative.
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            if any(isinstance(module, nn.RNNBase) for module in model.modules()):
                stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        found = loss()
    if graph and not found.requires_grad:
        raise ConfigError(
            "the loss has no graph that leads back to the weights; compute it with the model that loss_fn is given, "
            "without torch.no_grad, .detach() or .item()"
        )
    return found, leaves
