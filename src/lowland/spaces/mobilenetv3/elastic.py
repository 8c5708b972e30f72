"""Elastic layers: one set of weights for all widths and kernels (Once-for-All, arXiv 1908.09791).

- Expansion: a block of fewer channels has the first of the largest block's.
- Kernel: the centre of a kernel, flattened per channel, times a learned matrix of the block gives the next smaller one.
- Batch norm: running statistics, scale and shift are the first entries of the largest network's.

Tensor names: N batch, C channels, H height, W width; M the gate's channels; k kernel side; O output, I input channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowland.spaces.depthwise import depthwise_conv2d
from lowland.spaces.mobilenetv3.genotype import Choice
from lowland.spaces.mobilenetv3.networks import BlockPlan, hidden_width, squeezed
from lowland.spaces.values import Part


class ElasticConv(nn.Conv2d):
    """A 1×1 convolution from the first input channels to the first output channels."""

    def part(self, c_out: int, c_in: int) -> dict[str, Tensor]:
        """Weight (c_out, c_in, 1, 1), and bias (c_out) where there is one."""
        parts = {"weight": self.weight[:c_out, :c_in]}
        return parts if self.bias is None else parts | {"bias": self.bias[:c_out]}

    def forward(self, x_NCHW: Tensor, c_out: int | None = None) -> Tensor:
        """To the first `c_out` output channels, or to all; as many input channels as there are."""
        part = self.part(self.out_channels if c_out is None else c_out, x_NCHW.shape[1])
        return functional.conv2d(x_NCHW, part["weight"], part.get("bias"))


class ElasticNorm(nn.BatchNorm2d):
    """Batch norm of the first channels; their running statistics are views of the whole."""

    def part(self, channels: int) -> dict[str, Tensor]:
        """Scale, shift and running statistics of the first channels, and the number of batches seen."""
        names = ("weight", "bias", "running_mean", "running_var")
        parts = {name: getattr(self, name)[:channels] for name in names}
        return parts | {"num_batches_tracked": cast(Tensor, self.num_batches_tracked)}

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) with C at most the largest number of channels."""
        part = self.part(x_NCHW.shape[1])
        momentum = self.momentum
        if self.training:
            part["num_batches_tracked"].add_(1)
            if momentum is None:  # cumulative mean, as torch has it
                momentum = 1.0 / float(part["num_batches_tracked"])
        return functional.batch_norm(
            x_NCHW,
            part["running_mean"],
            part["running_var"],
            part["weight"],
            part["bias"],
            self.training,
            momentum or 0.0,
            self.eps,
        )


class ElasticDepthwise(nn.Conv2d):
    """A depthwise convolution of the first channels, with a kernel of any of several sides.

    The kernel of the next smaller side k' is, per channel, K' = A·c with c the flattened k'×k' centre of the kernel
    before it and A a learned k'²×k'² matrix, shared by all channels and the identity at first.
    """

    def __init__(self, channels: int, kernels: Sequence[int], stride: int) -> None:
        largest = kernels[-1]
        super().__init__(channels, channels, largest, stride, largest // 2, groups=channels, bias=False)
        self.smaller = list(pairwise(reversed(kernels)))
        for source, target in self.smaller:
            self.register_parameter(f"matrix_{source}to{target}", nn.Parameter(torch.eye(target * target)))

    def kernel(self, channels: int, side: int) -> Tensor:
        """(channels, 1, side, side)."""
        kernel_C1kk = self.weight[:channels]
        for source, target in self.smaller:
            if target < side:
                break
            start = (source - target) // 2
            centre_Ck = kernel_C1kk[:, :, start : start + target, start : start + target].reshape(channels, -1)
            matrix = self.get_parameter(f"matrix_{source}to{target}")
            kernel_C1kk = functional.linear(centre_Ck, matrix).view(channels, 1, target, target)
        return kernel_C1kk

    def matrices(self, side: int) -> list[str]:
        """Names of the matrices that a kernel of this side comes through."""
        return [f"matrix_{source}to{target}" for source, target in self.smaller if target >= side]

    def centre(self, channels: int, side: int) -> Part:
        """The part of the weight that a kernel of this side comes from."""
        start = (self.kernel_size[0] - side) // 2
        return ((0, channels), (0, 1), (start, start + side), (start, start + side))

    def forward(self, x_NCHW: Tensor, side: int | None = None) -> Tensor:
        """As many channels as there are, with a kernel of `side`, or with the largest."""
        side = self.kernel_size[0] if side is None else side
        return depthwise_conv2d(x_NCHW, self.kernel(x_NCHW.shape[1], side), self.stride[0], side // 2)


class ElasticSqueezeExcite(nn.Module):
    """Squeeze-and-excitation of the first channels; names as in `SqueezeExcite`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = ElasticConv(channels, squeezed(channels), 1)
        self.expand = ElasticConv(squeezed(channels), channels, 1)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H, W)."""
        channels = x_NCHW.shape[1]
        reduced_NM11 = self.reduce(x_NCHW.mean((2, 3), keepdim=True), squeezed(channels))
        gate_NC11 = self.expand(functional.relu(reduced_NM11), channels)
        return x_NCHW * functional.hardsigmoid(gate_NC11)


class ElasticResidual(nn.Module):
    """All inverted residual blocks at one place, sharing the weights of the largest; names as in `InvertedResidual`."""

    def __init__(self, plan: BlockPlan, kernels: Sequence[int]) -> None:
        super().__init__()
        self.plan = plan
        activation = nn.Hardswish if plan.hswish else nn.ReLU
        self.expand = nn.Sequential(
            ElasticConv(plan.c_in, plan.hidden, 1, bias=False), ElasticNorm(plan.hidden), activation()
        )
        depthwise = ElasticDepthwise(plan.hidden, kernels, plan.stride)
        self.depthwise = nn.Sequential(depthwise, ElasticNorm(plan.hidden), activation())
        self.squeeze = ElasticSqueezeExcite(plan.hidden) if plan.squeeze else nn.Identity()
        self.project = nn.Sequential(ElasticConv(plan.hidden, plan.c_out, 1, bias=False), ElasticNorm(plan.c_out))

    def forward(self, x_NCHW: Tensor, choice: Choice) -> Tensor:
        """(N, C_in, H, W) → (N, C_out, ⌈H/stride⌉, ⌈W/stride⌉) with the kernel and expansion of `choice`."""
        convolution, norm, activation = self.expand
        y_NCHW: Tensor = activation(norm(convolution(x_NCHW, hidden_width(self.plan.c_in, choice.expansion))))
        convolution, norm, activation = self.depthwise
        y_NCHW = self.project(self.squeeze(activation(norm(convolution(y_NCHW, choice.kernel)))))
        return x_NCHW + y_NCHW if self.plan.residual else y_NCHW

    def tensors(self, choice: Choice) -> dict[str, Tensor]:
        """Every parameter and buffer of the `InvertedResidual` of `choice`, by its name there, as parts of the own."""
        plan, hidden = self.plan, hidden_width(self.plan.c_in, choice.expansion)
        depthwise = cast(ElasticDepthwise, self.depthwise[0])
        parts: dict[str, Mapping[str, Tensor]] = {
            "expand.0": cast(ElasticConv, self.expand[0]).part(hidden, plan.c_in),
            "expand.1": cast(ElasticNorm, self.expand[1]).part(hidden),
            "depthwise.0": {"weight": depthwise.kernel(hidden, choice.kernel)},
            "depthwise.1": cast(ElasticNorm, self.depthwise[1]).part(hidden),
            "project.0": cast(ElasticConv, self.project[0]).part(plan.c_out, hidden),
            "project.1": cast(ElasticNorm, self.project[1]).part(plan.c_out),
        }
        if isinstance(self.squeeze, ElasticSqueezeExcite):
            parts["squeeze.reduce"] = self.squeeze.reduce.part(squeezed(hidden), hidden)
            parts["squeeze.expand"] = self.squeeze.expand.part(hidden, squeezed(hidden))
        return {f"{module}.{name}": value for module, tensors in parts.items() for name, value in tensors.items()}

    def weights(self, choice: Choice) -> dict[str, Part]:
        """The parts of convolution weights that the block of `choice` is made from, kernel matrices left out."""
        plan, hidden = self.plan, hidden_width(self.plan.c_in, choice.expansion)
        parts: dict[str, Part] = {
            "expand.0.weight": ((0, hidden),),
            "depthwise.0.weight": cast(ElasticDepthwise, self.depthwise[0]).centre(hidden, choice.kernel),
            "project.0.weight": ((0, plan.c_out), (0, hidden)),
        }
        if plan.squeeze:
            parts["squeeze.reduce.weight"] = ((0, squeezed(hidden)), (0, hidden))
            parts["squeeze.expand.weight"] = ((0, hidden), (0, squeezed(hidden)))
        return parts

    def matrices(self, choice: Choice) -> list[str]:
        """Names of the kernel matrices that the block of `choice` uses."""
        return [f"depthwise.0.{name}" for name in cast(ElasticDepthwise, self.depthwise[0]).matrices(choice.kernel)]

    @torch.no_grad()
    def sort_channels(self) -> None:
        """Put the channels in the order of importance: greatest L1 norm of the weights that read them first.

        The projection reads the block's channels, the gate's expansion the gate's. Permuting them leaves the largest
        block's function as it is, up to the order of sums.
        """
        convolution = cast(ElasticConv, self.project[0])
        order = _by_importance(convolution.weight)
        _permute(convolution.weight, 1, order)
        for part in (self.expand, self.depthwise):
            for tensor in (cast(nn.Conv2d, part[0]).weight, *_statistics(part[1])):
                _permute(tensor, 0, order)
        if isinstance(self.squeeze, ElasticSqueezeExcite):
            reduce, expand = self.squeeze.reduce, self.squeeze.expand
            _permute(reduce.weight, 1, order)
            for tensor in (expand.weight, cast(Tensor, expand.bias)):
                _permute(tensor, 0, order)
            order = _by_importance(expand.weight)
            _permute(expand.weight, 1, order)
            for tensor in (reduce.weight, cast(Tensor, reduce.bias)):
                _permute(tensor, 0, order)


def _by_importance(weight_OI11: Tensor) -> Tensor:
    """Input channels by descending L1 norm of their weights."""
    return weight_OI11.abs().sum((0, 2, 3)).argsort(descending=True, stable=True)


def _permute(tensor: Tensor, dim: int, order: Tensor) -> None:
    tensor.copy_(tensor.index_select(dim, order))


def _statistics(norm: nn.Module) -> list[Tensor]:
    return [getattr(norm, name) for name in ("weight", "bias", "running_mean", "running_var")]
