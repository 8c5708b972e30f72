"""The Hessian of a candidate's loss by its weights.

The loss is the mean cross-entropy of images of the search split, with batch norm in evaluation mode on calibrated
statistics, so that the Hessian is a sum over images. Products are in the weights' own precision, fp32 or better, never
autocast. Weights enter as detached aliases: the network's own parameters, their gradients and flags are not touched.

Array names: P perturbed scalars, N batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lowland.measures.curvature.operator import Hessian, Piece
from lowland.measures.per_image import first_images
from lowland.measures.subnet import Subnet

CHUNK = 32
"""Images whose graph of second derivatives is in memory at a time."""


class LossHessian(Hessian):
    """Hessian of a candidate's mean loss on its first search images by some of its parameters."""

    def __init__(self, subnet: Subnet, parameters: Mapping[str, nn.Parameter], images: int) -> None:
        """Set up; nothing is computed yet.

        Args:
            subnet: A calibrated candidate; the Hessian is valid within its block.
            parameters: The parameters to differentiate by, of the candidate's path.
            images: How many images of the search split are looked at, or all where there are fewer.
        """
        self._subnet = subnet
        self._x_NCHW, self._labels_N = first_images(subnet.context.scored, images)
        super().__init__(parameters, len(self._x_NCHW), subnet.context.seed)

    def groups(self, count: int) -> Iterator[Sequence[Piece]]:
        """All images in groups of as many each, in pieces of at most `CHUNK`."""
        for x_NCHW, labels_N in _chunks(self._x_NCHW, self._labels_N, -(-self.images // count)):
            yield [Piece(len(y), partial(self._loss, x, y)) for x, y in _chunks(x_NCHW, labels_N, CHUNK)]

    def _loss(self, x_NCHW: Tensor, labels_N: Tensor, graph: bool) -> tuple[Tensor, list[Tensor]]:
        """The mean loss of these images, and the leaves that stand for the parameters in its graph."""
        subnet = self._subnet
        leaves = {name: parameter.detach().requires_grad_() for name, parameter in self.parameters.items()}
        # The caller may have switched gradients off, or autocast on.
        with torch.set_grad_enabled(graph), torch.autocast(subnet.context.compute.device.type, enabled=False):
            logits_NK = functional_call(subnet.supernet, leaves, (x_NCHW, subnet.genotype))
            return cross_entropy(logits_NK, labels_N), list(leaves.values())

    def _flat(self, parts: Sequence[Tensor]) -> Tensor:
        return super()._flat(parts) if parts else self._x_NCHW.new_zeros(0)


def _chunks(x_NCHW: Tensor, labels_N: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(labels_N), size):
        yield x_NCHW[start : start + size], labels_N[start : start + size]
