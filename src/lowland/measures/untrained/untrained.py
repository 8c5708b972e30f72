"""Untrained ("zero-cost") measures: what the freshly initialised network of a genotype says before any training.

The network is the standalone one, not a path of the supernet, so inherited weights play no part. Its weights, and
therefore a score, are a function of run seed, genotype and size alone. Arithmetic is in fp32 or better.

Tensor names: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from lowland.core.config import MeasureConfig
from lowland.core.errors import NotFiniteError
from lowland.core.genotype import Genotype
from lowland.core.seeds import derive
from lowland.measures.measure import Context, Measure, Score
from lowland.measures.per_image import first_images
from lowland.measures.shared import NETWORK
from lowland.spaces.space import Supernet
from lowland.spaces.values import Shape


class Untrained:
    """One genotype before training: its size, a fresh network and the images to judge it on, each made on demand.

    Attributes:
        shape: Size of the network: the supernet's, with `measure.untrained_channels` and `measure.untrained_cells`.
        genotype: The genotype.
        context: Where seed, space, device and images come from.
        shared: Settings that measures share.
        details: JSON facts of what was looked at.
    """

    def __init__(self, shape: Shape, genotype: Genotype, context: Context, shared: MeasureConfig) -> None:
        self.shape = replace(
            shape,
            channels=shared.untrained_channels or shape.channels,
            cells=shared.untrained_cells or shape.cells,
        )
        self.genotype = genotype
        self.context = context
        self.shared = shared
        self.details: dict[str, Any] = {"channels": self.shape.channels, "cells": self.shape.cells}

    @cached_property
    def network(self) -> nn.Module:
        """The network in fp32 on the CPU: in evaluation mode, except that batch norm uses its batch's statistics.

        Running statistics of an untrained network mean nothing, and dropout would only add noise.
        """
        # Drawn from the CPU's generator alone, so that no other one needs to be put back.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(self.context.seed, "untrained", self.genotype))
            network = self.context.space.network(self.genotype, self.shape).float().eval()
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.train()
        return network

    @property
    def placed(self) -> nn.Module:
        """`network` on the device, in its memory format."""
        return self.context.compute.prepare(self.network)

    def images(self, batches: int = 1) -> tuple[Tensor, Tensor]:
        """The first `batches` · `measure.untrained_batch` training images, normalised and not augmented, with labels.

        There are fewer where `measure.calibration_images` or the data set give fewer; `details` tells how many.

        Returns:
            Images (N, C, H, W), float32, and labels (N), on the device.

        Raises:
            DataError: there are no training images.
        """
        x_NCHW, labels_N = first_images(self.context.calibration, batches * self.shared.untrained_batch)
        self.details["images"] = len(x_NCHW)
        return self.context.compute.place(x_NCHW.float()), labels_N.to(self.context.compute.device)


class UntrainedMeasure(Measure):
    """A measure of the freshly initialised standalone network; the supernet lends only its size."""

    needs: ClassVar[tuple[str, ...]] = NETWORK

    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Judge one genotype; the global random state and the supernet stay as they are.

        Returns:
            The value of `judge` with its details; no standard error.

        Raises:
            ConfigError: no network of the untrained size can be built.
            DataError: the measure looks at images and there are none.
            NotFiniteError: the value is not finite.
        """
        untrained = Untrained(supernet.shape, genotype, context, self.shared)
        # The caller may have switched gradients off.
        with torch.enable_grad():
            value = self.judge(untrained)
        if not math.isfinite(value):
            raise NotFiniteError(f"{self.name} of the untrained network is {value}, expected a finite number")
        return Score(value, None, untrained.details)

    @abstractmethod
    def judge(self, untrained: Untrained) -> float:
        """The value, greater is better."""


def run_watched(
    network: nn.Module, x_NCHW: Tensor, look: Callable[[object], None], kinds: tuple[type[nn.Module], ...] = ()
) -> None:
    """Run `network` without gradients and show `look` the output of every call of its modules (only those of `kinds`).

    Operations that cannot influence the network's output are never run, and so never shown.
    """
    handles = [
        module.register_forward_hook(lambda module, inputs, output: look(output))
        for module in network.modules()
        if not kinds or isinstance(module, kinds)
    ]
    try:
        with torch.no_grad():
            network(x_NCHW)
    finally:
        for handle in handles:
            handle.remove()


RELUS = (nn.ReLU, nn.ReLU6)
"""The activations whose on and off is a network's code."""


def weights(network: nn.Module) -> list[Tensor]:
    """The weights of convolutions and linear layers: neither biases nor batch norm, as Abdelfattah et al. take them."""
    return [module.weight for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def gradients(output: Tensor, of: Sequence[Tensor], *, retain_graph: bool = False) -> tuple[Tensor, ...]:
    """∂output/∂w of a scalar for each tensor w; zeros for weights that the output does not depend on."""
    return torch.autograd.grad(output, of, retain_graph=retain_graph, allow_unused=True, materialize_grads=True)


def loss_gradients(network: nn.Module, x_NCHW: Tensor, labels_N: Tensor) -> tuple[Tensor, ...]:
    """Gradients of the batch's mean cross-entropy by the `weights` of `network`, in their order."""
    return gradients(cross_entropy(network(x_NCHW), labels_N), weights(network))
