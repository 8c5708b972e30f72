"""Files of learned weights in published layouts, written name by name with random values."""

from __future__ import annotations

import torch
from torch import Tensor

STAGES = ((24, None), (40, (40, 64)), (80, None), (112, (120, 168)), (160, (168, 240)))
"""Width of each stage, and the gate's channels in its first and its other blocks."""


def norm(name: str, channels: int) -> dict[str, Tensor]:
    values = {f"{name}.{part}": torch.randn(channels) for part in ("weight", "bias", "running_mean")}
    return values | {f"{name}.running_var": torch.rand(channels), f"{name}.num_batches_tracked": torch.tensor(7)}


def once_for_all(classes: int = 1000) -> dict[str, Tensor]:
    """A state dict of `ofa_mbv3_d234_e346_k357_w1.0` in its older naming, with random values."""
    torch.manual_seed(0)
    state = {"first_conv.conv.weight": torch.randn(16, 3, 3, 3)} | norm("first_conv.bn", 16)
    first = "blocks.0.mobile_inverted_conv"
    state |= {f"{first}.depth_conv.conv.weight": torch.randn(16, 1, 3, 3)} | norm(f"{first}.depth_conv.bn", 16)
    state |= {f"{first}.point_linear.conv.weight": torch.randn(16, 16, 1, 1)} | norm(f"{first}.point_linear.bn", 16)
    c_in, index = 16, 0
    for width, gates in STAGES:
        for block in range(4):
            index += 1
            at, hidden = f"blocks.{index}.mobile_inverted_conv", 6 * c_in
            state[f"{at}.inverted_bottleneck.conv.conv.weight"] = torch.randn(hidden, c_in, 1, 1)
            state |= norm(f"{at}.inverted_bottleneck.bn.bn", hidden)
            state[f"{at}.depth_conv.conv.conv.weight"] = torch.randn(hidden, 1, 7, 7)
            state[f"{at}.depth_conv.conv.7to5_matrix"] = torch.randn(25, 25)
            state[f"{at}.depth_conv.conv.5to3_matrix"] = torch.randn(9, 9)
            state |= norm(f"{at}.depth_conv.bn.bn", hidden)
            if gates is not None:
                gate = gates[min(block, 1)]
                state[f"{at}.depth_conv.se.fc.reduce.weight"] = torch.randn(gate, hidden, 1, 1)
                state[f"{at}.depth_conv.se.fc.reduce.bias"] = torch.randn(gate)
                state[f"{at}.depth_conv.se.fc.expand.weight"] = torch.randn(hidden, gate, 1, 1)
                state[f"{at}.depth_conv.se.fc.expand.bias"] = torch.randn(hidden)
            state[f"{at}.point_linear.conv.conv.weight"] = torch.randn(width, hidden, 1, 1)
            state |= norm(f"{at}.point_linear.bn.bn", width)
            c_in = width
    state |= {"final_expand_layer.conv.weight": torch.randn(960, 160, 1, 1)} | norm("final_expand_layer.bn", 960)
    state["feature_mix_layer.conv.weight"] = torch.randn(1280, 960, 1, 1)
    state["classifier.linear.weight"], state["classifier.linear.bias"] = (
        torch.randn(classes, 1280),
        torch.randn(classes),
    )
    return state
