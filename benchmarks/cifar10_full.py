"""CIFAR-10 in full in at most 20 epochs with a network as small as ResNet-20 (0.27 M parameters): which accuracy?

Networks of NAS-Bench-201's space with the ResNet cell, all of 0.27 M parameters, differ in how these lie: as in
ResNet-20, or in fewer and wider early stages, which compute more. Each is trained by `lowland train`'s own path on
45,000 training images; the 5,000 held out tell which one is chosen (`held_out`), and the test images are looked at by
every network once (`top1`), for the report alone. Other seeds than the choice's (`--seeds 10 11 …`) train on all 50,000
and have no `held_out`. A stopped benchmark goes on.

    OMP_NUM_THREADS=1 python benchmarks/cifar10_full.py --networks resnet20 wide --seeds 0
    OMP_NUM_THREADS=1 python benchmarks/cifar10_full.py --networks wide --seeds 10 11 12
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from common import RESULTS, cifar10_npz, interval, measured, read
from lowland import load as load_network
from lowland.core.config import ComputeConfig
from lowland.core.device import Compute, resolve
from lowland.data import DataSet, Split, load
from lowland.evaluation.classification import predict
from lowland.spaces import get
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from recipe_study import RESNET

RESULT = RESULTS / "cifar10_full.json"
CHOICE = range(10)
"""Seeds that a choice may be made on."""

NETWORKS: dict[str, dict[str, Any]] = {
    "resnet20": {"channels": 16, "cells": 2, "growth": 2.0},
    "wide": {"channels": 32, "cells": 1, "growth": 1.5},
    "wider": {"channels": 48, "cells": 1, "growth": 1.1},
}
RECIPE: dict[str, Any] = {
    "optimizer": "sgd",
    "batch_size": 128,
    "learning_rate": 0.2,
    "warmup_epochs": 2.0,
    "schedule": "linear",
    "mixup": 0.0,
    "mixed_share": 1.0,
    "min_steps": 0,
}
RECIPES: dict[str, dict[str, Any]] = {
    "base": {},
    "hard": {"label_smoothing": 0.0},
    "muon": {"optimizer": "muon", "learning_rate": 0.14},
    "muon-hard": {"optimizer": "muon", "learning_rate": 0.14, "label_smoothing": 0.0},
}
"""What each changes in `RECIPE`."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--recipes", nargs="+", default=["base"], choices=list(RECIPES))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "lowland-cifar10")
    arguments = parser.parse_args()
    compute = resolve(ComputeConfig(threads=1))
    for seed in arguments.seeds:
        for network in arguments.networks:
            for recipe in arguments.recipes:
                key = f"{network}/{recipe}/{arguments.epochs}/{seed}"
                home = arguments.home / key.replace("/", "-")
                measure = partial(one, network, recipe, arguments.epochs, seed, home, compute)
                measured(RESULT, key, {"benchmark": "cifar10_full"}, measure, compute)
    report()


def one(network: str, recipe: str, epochs: int, seed: int, home: Path, compute: Compute) -> dict[str, Any]:
    """Train one network, or go on with it, and judge it."""
    source = cifar10_npz(Path(tempfile.gettempdir()) / "lowland-benchmarks", 50_000)
    chosen = seed in CHOICE
    settings = assemble(
        {
            "seed": seed,
            "data": {"name": str(source), "search_fraction": 0.1},
            "search": {"searcher": "given", "options": {"given": {"genotypes": [RESNET]}}},
            "network": NETWORKS[network] | {"norm": "batch", "fill": False},
            "retrain": RECIPE | RECIPES[recipe] | {"epochs": epochs, "include_search_split": not chosen},
            "compute": {"threads": 1},
        }
    )
    if (home / "manifest.json").exists():
        pipeline.resume(home, last="train")
    else:
        pipeline.run(settings, home, last="train")
    with Run.open(home, read_only=True) as run:
        config, seconds = run.config, run.manifest["stages"]["train"]["seconds"]
    data = load(config.data, seed=seed)
    delivered = load_network(home)
    cost = get("nasbench201").cost(delivered.genotype, delivered.shape)
    body = compute.prepare(delivered.body)

    def accuracy(split: Split, data: DataSet = data) -> float:
        logits_NK, labels_N = predict(body, split, data.normalise, compute, 250)
        return round(100 * float((logits_NK.argmax(1) == labels_N).double().mean()), 2)

    return {
        "top1": accuracy(data.test),
        **({"held_out": accuracy(data.search)} if chosen else {}),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "seconds": seconds,
    }


def report() -> None:
    """Print each group's figures, with 95 % t-intervals over seeds: those of the choice and others apart."""
    runs = (read(RESULT) or {"runs": {}})["runs"]
    groups: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for key, found in runs.items():
        group, _, seed = key.rpartition("/")
        groups.setdefault((group, int(seed) in CHOICE), []).append(found)
    for (group, chosen), rows in groups.items():
        figures = {what: interval([row[what] for row in rows]) for what in ("held_out", "top1") if what in rows[0]}
        size = f"{rows[0]['parameters'] / 1e6:.3f} M parameters, {rows[0]['macs'] / 1e6:.0f} M MACs"
        print(group, "choice" if chosen else "report", size, figures)


if __name__ == "__main__":
    main()
