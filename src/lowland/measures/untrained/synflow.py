"""SynFlow: how much flows through an untrained network along all its paths, without looking at data."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lowland.measures.measure import register
from lowland.measures.untrained.untrained import Untrained, UntrainedMeasure, gradients, weights


def synaptic_flow(network: nn.Module, x_NCHW: Tensor) -> float:
    """Σ |w · ∂R/∂w| over the weights, with R the sum of logits where every parameter is replaced by its magnitude.

    Sums over the weights of convolutions and linear layers (Tanaka et al., Algorithm 1). Batch
    norm is passed over, as by Abdelfattah et al. It changes `network`: parameters become magnitudes.

    Args:
        network: The network; float64, because values grow exponentially with depth.
        x_NCHW: The input, all ones.

    Returns:
        Σ |w · ∂R/∂w|, ≥ 0.
    """
    handles = [
        module.register_forward_hook(lambda module, inputs, output: inputs[0])
        for module in network.modules()
        if isinstance(module, _BatchNorm)
    ]
    try:
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.abs_()
        through = weights(network)
        flow = gradients(network(x_NCHW).sum(), through)
        return math.fsum(float((w.detach() * g).abs().sum()) for w, g in zip(through, flow, strict=True))
    finally:
        for handle in handles:
            handle.remove()


@register
class SynFlow(UntrainedMeasure):
    """log(1 + SynFlow), in float64: 0 where nothing flows, and ranked like the published sum."""

    name = "synflow"
    summary = "log of the synaptic flow through all paths of an untrained network, without looking at data"
    source = "SynFlow (Tanaka et al., NeurIPS 2020), Algorithm 1; as a measure: Abdelfattah et al., ICLR 2021"

    def judge(self, untrained: Untrained) -> float:
        """The logarithm, 0 or more."""
        shape = untrained.shape
        # One image, on the CPU, which always has float64.
        x_NCHW = torch.ones(1, shape.in_channels, shape.image_size, shape.image_size, dtype=torch.float64)
        return math.log1p(synaptic_flow(untrained.network.double(), x_NCHW))
