"""VKDNW: how evenly the Fisher information of an untrained network is spread over directions of its weights.

Tensor names: N images, C channels, H height, W width, K classes, P chosen weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from lowland.measures.calibration import calibrate
from lowland.measures.measure import register
from lowland.measures.shared import RANDOM_IMAGES
from lowland.measures.untrained.initialization import normal_images, normal_network
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure

LARGEST = 128
"""Most weights that the Fisher information is taken of: those of the first parameter tensors, as published."""

DECILES = 9


def weighted_layers(network: nn.Module) -> int:
    """Number of convolutions and linear layers, those that cannot influence the output included, as published."""
    return sum(isinstance(module, nn.Conv2d | nn.Linear) for module in network.modules())


def _first_weights(network: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Every weight, bias, scale and shift of convolutions, linear layers and batch norms, in the network's order."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm):
            yield from ((module, name) for name in ("weight", "bias") if getattr(module, name) is not None)


def _response(module: nn.Module, name: str, x: Tensor) -> Tensor:
    """Differentiate the layer's first output channel by the first entry of one of its tensors.

    No other channel depends on that entry.

    Returns:
        The derivative, (N, 1) or (N, 1, H, W).
    """
    first = x[:, :1]
    if isinstance(module, nn.Conv2d):
        kernel = torch.zeros_like(module.weight[:1, :1])
        kernel.view(-1)[0] = 1.0
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        padded = functional.pad(first, module._reversed_padding_repeated_twice, mode=mode)
        seen = functional.conv2d(padded, kernel, stride=module.stride, dilation=module.dilation)
        return seen if name == "weight" else torch.ones_like(seen)
    if name == "bias":
        return torch.ones_like(first)
    if isinstance(module, _BatchNorm):
        return functional.batch_norm(first, _first(module.running_mean), _first(module.running_var), eps=module.eps)
    return first


def _first(values_C: Tensor | None) -> Tensor | None:
    return None if values_C is None else values_C[:1]


def score_vectors(network: nn.Module, x_NCHW: Tensor) -> Tensor:
    """Rows √(p_k/N) ∇_w log p_k for every image and class, p the softmax: their Gram matrix AᵀA is the Fisher matrix.

    w are P ≤ `LARGEST` representative weights, the first entry of each parameter tensor. The network is in evaluation
    mode, so that images are independent. One pass back per class.

    Returns:
        A (N·K, P), float64, on the CPU.
    """
    chosen = list(islice(_first_weights(network), LARGEST))
    # A separate copy of each weight for each image, as a deviation from its value.
    deviations = {key: x_NCHW.new_zeros(len(x_NCHW), requires_grad=True) for key in chosen}

    def add(module: nn.Module, inputs: tuple[Any, ...], y: Tensor) -> Tensor:
        for (owner, name), d_N in deviations.items():
            if owner is module:
                change = _response(module, name, inputs[0].detach()) * d_N.reshape(-1, *[1] * (y.ndim - 1))
                # Padded and added, because a gradient passes a sum without being copied.
                y = y + functional.pad(change, [0] * (2 * y.ndim - 3) + [y.shape[1] - 1])
        return y

    handles = [module.register_forward_hook(add) for module in dict.fromkeys(module for module, _ in chosen)]
    try:
        log_p_NK = functional.log_softmax(network(x_NCHW), dim=1)
    finally:
        for handle in handles:
            handle.remove()
    weight_NK = (log_p_NK.detach().exp() / len(x_NCHW)).sqrt()
    rows = []
    for k, of_class_N in enumerate(log_p_NK.unbind(dim=1)):
        found = torch.autograd.grad(
            of_class_N.sum(), list(deviations.values()), retain_graph=k + 1 < log_p_NK.shape[1], materialize_grads=True
        )
        rows.append(torch.stack(found, dim=1) * weight_NK[:, k, None])
    return torch.cat(rows).cpu().double()


def spectrum_entropy(eigenvalues_P: Tensor) -> float:
    """−Σ q log q of the nine deciles of the eigenvalues, divided by their sum (VKDNW, Eq. 11).

    Returns:
        From 0, where the deciles are zero or all but one, to log 9 for equal deciles; in nats.
    """
    levels = torch.arange(1, DECILES + 1, dtype=eigenvalues_P.dtype) / (DECILES + 1)
    deciles = torch.quantile(eigenvalues_P, levels)
    total = float(deciles.sum())
    return float(torch.special.entr(deciles / total).sum()) if total > 0.0 else 0.0


def fisher_eigenvalues(scores_AP: Tensor) -> Tensor:
    """Eigenvalues (P) of AᵀA, ascending; those that rounding of fp32 scores leaves in doubt are zero."""
    eigenvalues_P = torch.linalg.eigvalsh(scores_AP.T @ scores_AP)
    resolution = (len(eigenvalues_P) * torch.finfo(torch.float32).eps) ** 2 * float(eigenvalues_P[-1])
    return torch.where(eigenvalues_P > resolution, eigenvalues_P, 0.0)


class _Vkdnw(UntrainedMeasure):
    """The Fisher matrix of `measure.untrained_batch` Gaussian images under Gaussian weights.

    Where the paper is silent: batch norm normalises by the statistics of the batch, held fixed, so that each image has
    a derivative of its own (the public code normalises each image by itself); the softmax is not smoothed.
    """

    needs = RANDOM_IMAGES

    def entropy(self, untrained: Untrained) -> float:
        """`spectrum_entropy` of the Fisher matrix."""
        network = normal_network(untrained).requires_grad_(False)
        x_NCHW = normal_images(untrained, untrained.shape, untrained.shared.untrained_batch)
        batch_norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
        calibrate(network, batch_norms, [x_NCHW], "batch", replace(untrained.context.compute, autocast_dtype=None))
        return spectrum_entropy(fisher_eigenvalues(score_vectors(network.eval(), x_NCHW)))


@register
class VkdnwEntropy(_Vkdnw):
    """Entropy of the deciles of the Fisher matrix' eigenvalues (Eq. 11), which says nothing about size."""

    name = "vkdnw_entropy"
    summary = "how evenly the Fisher information of an untrained network is spread over its eigenvalues"
    source = "VKDNW (Tybl et al., CVPR 2025), Eq. 11"

    def judge(self, untrained: Untrained) -> float:
        """The entropy, from 0 to log 9 nats."""
        return self.entropy(untrained)


@register
class Vkdnw(_Vkdnw):
    """Number of weighted layers plus the entropy (Eq. 12, VKDNW_single): by depth first, then by the spectrum."""

    name = "vkdnw"
    summary = "number of weighted layers, plus how evenly an untrained network's Fisher information is spread"
    source = "VKDNW (Tybl et al., CVPR 2025), Eq. 12"

    def judge(self, untrained: Untrained) -> float:
        """Layers plus nats."""
        return math.fsum((weighted_layers(untrained.network), self.entropy(untrained)))
