"""What the conformance suite needs to know of a space: small shapes, sampled genotypes, which edges are alive."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.spaces import CellGraph, FeatureNetwork, NetworkOptions, Shape, Space, Supernet, SupernetPath

CELLS: dict[str, int] = {}
"""Small depth by name of the space, as its suite says."""

fast = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
"""Of properties: one of these classes' tests runs once for every space."""

seeds = st.integers(0, 2**32 - 1)

SHAPES = {
    "8x8 grey": {"image_size": 8, "in_channels": 1, "num_classes": 2},
    "28x28 grey": {"image_size": 28, "in_channels": 1},
    "30x30 RGB": {"image_size": 30},
    "32x32 RGB": {"image_size": 32, "num_classes": 100},
    "64x64 RGB": {"image_size": 64},
    "224x224 RGB": {"image_size": 224, "num_classes": 7},
    "32x32 ImageNet stem": {"image_size": 32, "stem": "imagenet"},
}
"""The data sizes every space must serve; 30 is odd after one halving."""


def shape(space: Space, **changes: object) -> Shape:
    """A shape small enough for a fast test: 16 pixels, 4 channels."""
    values = {"image_size": 16, "num_classes": 5, "channels": 4, "cells": CELLS.get(space.name, 3)}
    return Shape(**{**values, **changes})


def samples(space: Space, count: int, seed: int = 0) -> list[Genotype]:
    """Random genotypes, by their seed."""
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(count)]


def images(of: Shape, count: int = 2, seed: int = 0) -> Tensor:
    """Gaussian images of a shape's size, by their seed."""
    size = (count, of.in_channels, of.image_size, of.image_size)
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


def trained_looking(network: nn.Module, seed: int = 0) -> None:
    """Give every batch norm statistics, scale and shift of its own, so that no two of them can be mistaken."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            if module.affine:
                with torch.no_grad():
                    module.weight.uniform_(0.5, 2, generator=generator)
                    module.bias.normal_(0, 0.1, generator=generator)


def twin(space: Space, supernet: Supernet, genotype: Genotype) -> nn.Module:
    """The standalone network with the supernet's weights."""
    network = space.network(genotype, supernet.shape, NetworkOptions(like_supernet=True))
    spaces.inherit(supernet, network, genotype)
    return network


def parameters(network: nn.Module) -> int:
    """Number of trainable scalars."""
    return sum(p.numel() for p in network.parameters())


def measured_macs(network: nn.Module, x_NCHW: Tensor) -> float:
    """Multiply-accumulates per image, counted while running; a multiply-accumulate is two floating-point operations."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(x_NCHW)
    return counter.get_total_flops() / 2 / len(x_NCHW)


def rounded_up(side: int, stride: int) -> int:
    """⌈side/stride⌉, pixels."""
    return -(-side // stride)


def outputs(network: FeatureNetwork, x_NCHW: Tensor) -> list[Tensor]:
    """What the modules that `feature_info` names put out while `features` runs, copied before later ones run."""
    found: dict[str, Tensor] = {}
    handles = []
    for info in network.feature_info:

        def copy(module: nn.Module, inputs: object, y_NCHW: Tensor, name: str = info.name) -> None:
            found[name] = y_NCHW.detach().clone()

        handles.append(network.get_submodule(info.name).register_forward_hook(copy))
    network.features(x_NCHW)
    for handle in handles:
        handle.remove()
    return [found[info.name] for info in network.feature_info]


def elastic(space: Space) -> bool:
    """Whether genotypes share parts of tensors, so that a name alone does not say what they inherit."""
    return space.extremes() is not None


def supports_auxiliary(space: Space, of: Shape) -> bool:
    """Whether networks of the space can have an auxiliary head."""
    try:
        space.network(samples(space, 1)[0], of, NetworkOptions(auxiliary=True))
    except ConfigError:
        return False
    return True


@cache
def _inputs(space_name: str) -> frozenset[str]:
    """The cells' input nodes: those that are no operation's target in any of many genotypes."""
    graphs = [g for genotype in samples(spaces.get(space_name), 100) for g in spaces.get(space_name).graphs(genotype)]
    return frozenset({n for g in graphs for n in g.nodes} - {target for g in graphs for _, target, _ in g.edges})


def _reached(start: Iterable[str], arrows: Iterable[tuple[str, str]]) -> set[str]:
    found, arrows = set(start), list(arrows)
    for _ in arrows:
        found |= {target for source, target in arrows if source in found}
    return found


def _alive(graph: CellGraph, inputs: frozenset[str]) -> bool:
    """Whether every edge lies on a route from an input to the output, the last node."""
    forward = _reached(inputs, [(s, t) for s, t, _ in graph.edges])
    backward = _reached({graph.nodes[-1]}, [(t, s) for s, t, _ in graph.edges])
    return bool(graph.edges) and all(s in forward and t in backward for s, t, _ in graph.edges)


def fully_alive(space: Space, genotype: Genotype) -> bool:
    """Whether every operation of the genotype influences the output."""
    return all(_alive(graph, _inputs(space.name)) for graph in space.graphs(genotype))


def alive_samples(space: Space, count: int, seed: int = 0) -> list[Genotype]:
    """Random genotypes in which every operation influences the output."""
    return [g for g in samples(space, 60 * count, seed) if fully_alive(space, g)][:count]


def trained_names(supernet: Supernet, path: SupernetPath) -> set[str]:
    """Names of the supernet parameters that get a gradient from one training step on `path`."""
    supernet.zero_grad(set_to_none=True)
    supernet.train()
    supernet(images(supernet.shape), path).square().sum().backward()
    return {name for name, p in supernet.named_parameters() if p.grad is not None}


def sampled(space: Space, seed: int) -> Genotype:
    """One genotype, by its seed."""
    return space.sample(np.random.default_rng(seed))
