"""`config.json`: what timm reads beside a delivered network's weights, so that the folder is one of its models.

timm takes the first `.safetensors` file of the folder for the weights; keys are equal, so none is written twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from lowland.core.genotype import Genotype
from lowland.data import Fit, opencv
from lowland.spaces import FeatureNetwork, NetworkOptions, Shape, get
from lowland.spaces.values import AS_PUBLISHED

FILE = "config.json"

ARCHITECTURE = "lowland_network"
"""The registered model that builds any network of any space."""

CROP_MODES: Mapping[Fit, str] = {"crop": "center", "squash": "squash", "pad": "border", "opencv": "center"}
"""What timm calls the ways in which oblong images become square."""

SHOWN: Mapping[Fit, float] = {"opencv": opencv.SHOWN}
"""Share of the shorter side that is shown, where that is not all. timm's own resizing is antialiased, OpenCV's not."""


def first_convolution(body: nn.Module) -> str | None:
    """Name of the convolution that sees the image; modules are named in the order in which they are made."""
    return next((name for name, module in body.named_modules() if isinstance(module, nn.Conv2d)), None)


def classifier(body: nn.Module) -> str:
    """Name of the linear layer that gives the logits; ValueError where there is none."""
    linear: list[str] = [name for name, module in body.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError(f"a {type(body).__name__} has no linear layer at its end")
    return linear[-1]


def bare(genotype: Genotype, shape: Shape) -> FeatureNetwork:
    """A network without values, to ask for names and sizes."""
    with torch.device("meta"):
        return get(genotype.space).network(genotype, shape, NetworkOptions()).eval()


def pretrained_cfg(body: FeatureNetwork, shape: Shape) -> dict[str, Any]:
    """What timm wants to know of any network: sizes and names."""
    with torch.no_grad():
        example = torch.zeros(1, shape.in_channels, shape.image_size, shape.image_size, device="meta")
        last = body.trunk(example) if next(body.parameters()).is_meta else None
    stride = body.feature_info[-1].stride
    side = -(-(body.resolution or shape.image_size) // stride)
    return {
        "input_size": [shape.in_channels, shape.image_size, shape.image_size],
        "fixed_input_size": False,
        "pool_size": [side, side] if last is None else list(last.shape[2:]),
        "num_classes": shape.num_classes,
        "first_conv": first_convolution(body),
        "classifier": classifier(body),
        "interpolation": "bilinear",
        "crop_pct": 1.0,
    }


def config(
    genotype: Genotype, shape: Shape, *, classes: Sequence[str], mean: Sequence[float], std: Sequence[float], fit: Fit
) -> dict[str, Any]:
    """`config.json` of a delivered network.

    Args:
        genotype: What it is.
        shape: How large it is.
        classes: Names in logit order.
        mean: Of each channel.
        std: Of each channel.
        fit: How oblong images become square.

    Returns:
        JSON-like values as `timm.create_model("local-dir:…")` reads them (timm 1.0.17 or later; 1.0.31 where it is
        asked for another number of channels than these weights').
    """
    body = bare(genotype, shape)
    return {
        "architecture": ARCHITECTURE,
        "num_classes": shape.num_classes,
        "num_features": body.feature_info[-1].channels,
        "global_pool": "avg",
        "label_names": list(classes),
        "model_args": {
            "space": genotype.space,
            "genotype": get(genotype.space).format(genotype),
            "channels": shape.channels,
            "cells": shape.cells,
            "stem": shape.stem,
            **{name: value for name, value in shape.described().items() if name in AS_PUBLISHED},
            "img_size": shape.image_size,
            "in_chans": shape.in_channels,
        },
        "pretrained_cfg": pretrained_cfg(body, shape)
        | {"mean": list(mean), "std": list(std), "crop_mode": CROP_MODES[fit], "crop_pct": SHOWN.get(fit, 1.0)},
    }
