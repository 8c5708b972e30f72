"""How much faster does an elastic network train with lowland's depthwise gradients than with PyTorch's own?

Random genotypes, forward and backward pass, bfloat16 autocast, channels-last, the two kinds of gradient in turn; the
ratio of their times is taken within each round.

    python benchmarks/depthwise.py
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from common import RESULTS, save
from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.spaces import depthwise as quick
from lowland.spaces.mobilenetv3 import elastic
from lowland.spaces.space import Supernet
from lowland.spaces.values import Shape

QUICK = quick.depthwise_conv2d


def own(x_NCHW: Tensor, weight_C1IJ: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
    """PyTorch's own."""
    return functional.conv2d(x_NCHW, weight_C1IJ, None, stride, padding, dilation, len(weight_C1IJ))


def seconds(supernet: Supernet, genotypes: list[Any], x_NCHW: Tensor, y_N: Tensor) -> float:
    began = time.perf_counter()
    for genotype in genotypes:
        with torch.autocast("cpu", torch.bfloat16):
            logits_NK = supernet(x_NCHW, genotype)
        functional.cross_entropy(logits_NK.float(), y_N).backward()
        supernet.zero_grad()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--genotypes", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ratios: dict[str, list[float]] = {}
    for name, channels, cells in (("mobilenetv3-small", 16, 1), ("darts", 8, 3)):
        space = spaces.get(name)
        torch.manual_seed(0)
        supernet = space.supernet(Shape(in_channels=1, num_classes=10, image_size=28, channels=channels, cells=cells))
        supernet.to(memory_format=torch.channels_last).train()
        rng = np.random.default_rng(0)
        genotypes = [space.sample(rng) for _ in range(arguments.genotypes)]
        x_NCHW = torch.randn(64, 1, 28, 28).contiguous(memory_format=torch.channels_last)
        y_N = torch.randint(0, 10, (64,))
        ratios[name] = []
        for turn in range(arguments.rounds + 1):
            taken = {}
            for gradients in (QUICK, own):
                quick.depthwise_conv2d = elastic.depthwise_conv2d = gradients
                taken[gradients] = seconds(supernet, genotypes, x_NCHW, y_N)
            if turn > 0:  # the first meets every shape for the first time
                ratios[name].append(round(taken[own] / taken[QUICK], 3))
    results = {
        "benchmark": "depthwise",
        "arguments": vars(arguments),
        "ratios": ratios,
        "median": {name: median(found) for name, found in ratios.items()},
    }
    save(RESULTS / "depthwise.json", results, resolve(Config().compute))
    print(results["median"], ratios)


if __name__ == "__main__":
    main()
