"""Exact size of a module from its description alone: weights and multiply-accumulates, without running it.

    convolution  H_out · W_out · C_out · (C_in / groups) · k_h · k_w
    classifier   in · out, or (2·in − 1)·out as the profiler of the DARTS papers counts

Batch norm, pooling, activations, additions and biases count no multiply-accumulates, as in the published tables. A
space describes its parts on the meta device (no memory, no random draws), keeps their costs in tables, and adds table
entries per candidate.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from lowland.spaces.operations import FactorizedReduce
from lowland.spaces.values import ClassifierCount, Cost

_POINTWISE = (nn.BatchNorm2d, nn.ReLU, nn.Hardswish, nn.Identity, nn.Dropout)


def module_cost(module: nn.Module, height: int, width: int) -> tuple[Cost, int, int]:
    """Cost of `module` for one image, and the height and width that it hands on.

    Args:
        module: A chain (`nn.Sequential`) or one of convolution, batch norm, pooling, activation, factorized reduction,
            flattening and linear layer; on any device, the meta device included.
        height: Input height, pixels.
        width: Input width, pixels.

    Returns:
        (cost, output height, output width). Parameters count all trainable scalars, biases and batch-norm scale and
        shift included; MACs count convolutions and linear layers.

    Raises:
        TypeError: `module` is or contains a type that is not counted here; nothing is ever taken to be free.
        ValueError: a window does not fit its input, or a linear layer gets an input that is not flattened.
    """
    if isinstance(module, nn.Sequential):
        total = Cost(0, 0)
        for child in module:
            cost, height, width = module_cost(child, height, width)
            total += cost
        return total, height, width
    parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    if isinstance(module, nn.Conv2d):
        height, width = _windows(module, height, width)
        k_h, k_w = module.kernel_size
        per_pixel = module.out_channels * (module.in_channels // module.groups) * k_h * k_w
        return Cost(parameters, height * width * per_pixel), height, width
    if isinstance(module, FactorizedReduce):
        return _factorized_reduce_cost(module, height, width)
    if isinstance(module, nn.AvgPool2d | nn.MaxPool2d):
        height, width = _windows(module, height, width)
        return Cost(0, 0), height, width
    if isinstance(module, nn.AdaptiveAvgPool2d):
        out_h, out_w = _pair(module.output_size)
        return Cost(0, 0), height if out_h is None else out_h, width if out_w is None else out_w
    if isinstance(module, nn.Flatten):
        return Cost(0, 0), 1, 1
    if isinstance(module, nn.Linear):
        if (height, width) != (1, 1):
            raise ValueError(f"a linear layer got a {height}×{width} map; put nn.Flatten in front of it")
        return Cost(parameters, module.in_features * module.out_features), 1, 1
    if isinstance(module, _POINTWISE):
        return Cost(parameters, 0), height, width
    raise TypeError(
        f"the cost of {type(module).__name__} is unknown; add its formula to lowland.spaces.cost or use known layers"
    )


def classifier_cost(features: int, classes: int, count: ClassifierCount = "in*out") -> Cost:
    """Cost of the final linear layer with bias: (in + 1)·out weights; in·out MACs, or (2·in − 1)·out for `profiler`."""
    macs = features * classes if count == "in*out" else (2 * features - 1) * classes
    return Cost((features + 1) * classes, macs)


def _factorized_reduce_cost(module: FactorizedReduce, height: int, width: int) -> tuple[Cost, int, int]:
    bn, _, _ = module_cost(module.bn, height, width)
    # The shifted half sees an input padded to even size less one pixel, so both halves give ⌈H/2⌉ × ⌈W/2⌉.
    first, out_h, out_w = module_cost(module.conv_1, height, width)
    second, _, _ = module_cost(module.conv_2, height, width)
    return first + second + bn, out_h, out_w


def _windows(module: nn.Conv2d | nn.AvgPool2d | nn.MaxPool2d, height: int, width: int) -> tuple[int, int]:
    """Output height and width of a sliding window."""
    if isinstance(module.padding, str):
        raise TypeError(f"{type(module).__name__} needs its padding as numbers to be counted, not {module.padding!r}")
    ceil_mode = getattr(module, "ceil_mode", False)
    padding = _pair(module.padding)
    dilation = _pair(getattr(module, "dilation", 1))
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    sizes = []
    for size, k, s, p, d in zip((height, width), kernel, stride, padding, dilation, strict=True):
        span = size + 2 * p - d * (k - 1) - 1
        out = span // s + 1
        # With ceil_mode a last, partial window counts if it starts inside the input or its near padding.
        if ceil_mode and span % s and out * s < size + p:
            out += 1
        if out < 1:
            raise ValueError(f"{type(module).__name__} with kernel {kernel} does not fit a {height}×{width} input")
        sizes.append(out)
    return sizes[0], sizes[1]


def _pair(value: Any) -> tuple[Any, Any]:
    return value if isinstance(value, tuple) else (value, value)
