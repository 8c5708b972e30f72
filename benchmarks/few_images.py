"""How many training steps do few images want? Accuracy on images that nothing learned from, clean and corrupted.

The ResNet cell of NAS-Bench-201's space at one budget of parameters, by the recipe of `quick` in whole epochs, on so
many of CIFAR-10's training images; judged on other ones of these. Test images take no part. A stopped study goes on.

    OMP_NUM_THREADS=1 python benchmarks/few_images.py --images 500 2000 --steps 600 1200 2400 --seeds 0 1
    python benchmarks/few_images.py --report
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common import RESULTS, cifar10_npz, interval, measured, read, save_arrays
from growth_study import learned, under_corruption
from lowland.core.config import ComputeConfig, DataConfig
from lowland.core.device import Compute, resolve
from lowland.data import load
from lowland.training.optimization import steps_per_epoch
from lowland.workflow.presets import assemble, complete
from recipe_study import corrupted_splits
from rung_study import accuracy

RESULT = RESULTS / "few_images.json"
JUDGED = 2000
PARAMETERS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--steps", type=int, nargs="+", default=[600, 1200, 2400])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--report", action="store_true", help="print accuracies and measure nothing")
    arguments = parser.parse_args()
    if not arguments.report:
        compute = resolve(ComputeConfig(threads=1))
        for seed in arguments.seeds:
            for images in arguments.images:
                for steps in arguments.steps:
                    key = f"{images}/{steps}/{seed}"
                    heading = {"benchmark": "few_images", "judged": JUDGED, "parameters": PARAMETERS}
                    measured(RESULT, key, heading, partial(one, images, steps, seed, compute), compute)
    report()


def one(images: int, steps: int, seed: int, compute: Compute) -> dict[str, Any]:
    """Train for at least so many steps, in whole epochs, and judge."""
    torch.set_num_threads(1)
    home = Path(tempfile.gettempdir()) / "lowland-benchmarks"
    path = home / f"few-{images}-{seed}.npz"
    if not path.exists():
        with np.load(cifar10_npz(home, 50_000)) as whole:
            x, y = whole["x_train"], whole["y_train"]
        order = np.random.default_rng(seed).permutation(len(x))
        taught, judged = order[:images], order[images : images + JUDGED]
        arrays = {"x_train": x[taught], "y_train": y[taught], "x_test": x[judged], "y_test": y[judged]}
        save_arrays(path, arrays)
    recipe = complete(assemble({"data": {"name": str(path)}})).retrain
    epochs = math.ceil(steps / steps_per_epoch(recipe, images))
    recipe = recipe.model_copy(update={"epochs": epochs, "min_steps": 0, "include_search_split": True})
    data = load(DataConfig(name=str(path)), seed=seed)
    model, *_ = learned("resnet-cell", PARAMETERS, data, recipe, compute, seed, fill=True, cells=1, norm="ibn-quarter")
    corrupted = corrupted_splits(replace(data, search=data.test))
    clean = accuracy(model, data.test, data, compute)
    return {"epochs": epochs, "clean": clean, "corrupted": under_corruption(model, corrupted, data, compute)}


def report() -> None:
    """Accuracy over seeds, with 95 % t-intervals."""
    groups: dict[str, list[dict[str, float]]] = {}
    for key, found in (read(RESULT) or {"runs": {}})["runs"].items():
        groups.setdefault(key.rpartition("/")[0], []).append(found)
    for name, rows in sorted(groups.items()):
        print(name, {figure: interval([row[figure] for row in rows]) for figure in ("clean", "corrupted")})


if __name__ == "__main__":
    main()
