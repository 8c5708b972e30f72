"""What does a sharpness-aware step cost, in steps of its base optimiser?

Whole training steps (forward, backward, clipping, update) of networks as candidates are fine-tuned, plain and with SAM
and adaptive SAM in turn; the ratio of their times is taken within each round. Needed: at most 2.1.

    python benchmarks/sam_cost.py
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from common import RESULTS, save
from lowland import spaces
from lowland.core.config import ComputeConfig, FineTuneConfig
from lowland.core.device import Compute, resolve
from lowland.spaces import Shape
from lowland.training.parallel import World
from lowland.training.step import Stepper

NEEDED = 2.1
OPTIMIZERS = ("sgd", "sgd+sam", "sgd+asam")
SIZES = {
    "mobilenetv3-small": Shape(image_size=32, channels=16, cells=1),
    "nasbench201": Shape(image_size=32, channels=16, cells=1),
}


def seconds(
    model: nn.Module, stepper: Stepper, x_NCHW: Tensor, labels_N: Tensor, compute: Compute, steps: int
) -> float:
    def loss() -> Tensor:
        with compute.autocast():
            logits_NK = model(x_NCHW)
        return cross_entropy(logits_NK.float(), labels_N)

    began = time.perf_counter()
    for step in range(steps):
        stepper.step(loss, 0.01, step)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=10, help="of each optimiser in a round")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    compute = resolve(ComputeConfig(threads=arguments.threads))
    torch.manual_seed(0)
    x_NCHW, labels_N = compute.place(torch.randn(128, 3, 32, 32)), torch.randint(0, 10, (128,))
    by_space: dict[str, object] = {}
    for name, shape in SIZES.items():
        space = spaces.get(name)
        genotype = space.sample(np.random.default_rng(0))
        ratios: dict[str, list[float]] = {optimizer: [] for optimizer in OPTIMIZERS[1:]}
        steppers = {}
        for optimizer in OPTIMIZERS:
            model = compute.prepare(space.network(genotype, shape)).train()
            steppers[optimizer] = model, Stepper(model, FineTuneConfig(optimizer=optimizer), compute, World())

        def timed(made: tuple[nn.Module, Stepper]) -> float:
            return seconds(*made, x_NCHW, labels_N, compute, arguments.steps)

        for turn in range(arguments.rounds + 1):
            taken = {optimizer: timed(steppers[optimizer]) for optimizer in OPTIMIZERS}
            if turn:  # the first meets every shape for the first time
                for optimizer, values in ratios.items():
                    values.append(taken[optimizer] / taken["sgd"])
        found = {optimizer: {"ratios": values, "median": median(values)} for optimizer, values in ratios.items()}
        by_space[name] = found
        print(name, {optimizer: f"{row['median']:.3f}" for optimizer, row in found.items()})
    save(RESULTS / "sam_cost.json", {"benchmark": "sam_cost", "needed": NEEDED, "spaces": by_space}, compute)


if __name__ == "__main__":
    main()
