"""How should widths grow from stage to stage, if a network may have so many parameters? Held-out accuracy.

Networks of NAS-Bench-201's space, each as wide as fills the budget of parameters at its growth, learn from the training
split alone by the recipe of `quick` (mixup in the first 70 % of the steps) and are judged on the search split, clean
and under the fifteen standard corruptions (as in `recipe_study.py`). Test images take no part. A stopped study goes on.

    python benchmarks/growth_study.py --data embedded --params 0.1M --epochs 30 --growths 2 1.41 --seeds 2 3
    python benchmarks/growth_study.py --report
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from typing import Any

import torch
from torch import nn

from common import RESULTS, interval, measured, read
from lowland.core.config import ComputeConfig, DataConfig, RetrainConfig
from lowland.core.device import Compute, resolve
from lowland.core.settings import count, section
from lowland.data import DataSet, MemorySplit, load
from lowland.spaces import Shape, get
from lowland.spaces.values import Cost
from lowland.spaces.width import fitted
from lowland.training import network
from lowland.training.loop import fit
from recipe_study import corrupted_splits
from rung_study import EPOCHS, accuracy, place

RESULT = RESULTS / "growth_study.json"
RECIPE: dict[str, Any] = {"mixup": 0.2, "mixed_share": 0.7, "include_search_split": False}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=tuple(EPOCHS), default="embedded")
    parser.add_argument("--params", default="0.1M")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--networks", nargs="+", default=["resnet-cell"], help="by hand, or genotypes")
    parser.add_argument("--cells", type=int, nargs="+", default=[1])
    parser.add_argument("--growths", type=float, nargs="+", default=[2.0, 1.41])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--report", action="store_true", help="print differences and measure nothing")
    arguments = parser.parse_args()
    if arguments.report:
        report()
        return
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        for name in arguments.networks:
            for cells in arguments.cells:
                for growth in arguments.growths:
                    one(
                        arguments.data, count("--params", arguments.params), arguments.epochs, name, cells, growth, seed
                    )


def one(data_name: str, parameters: int, epochs: int, name: str, cells: int, growth: float, seed: int) -> None:
    """Train and judge one network, unless it is known."""
    key = f"{data_name}/{parameters}/{epochs}/{name}/{cells}/{growth:g}/{seed}"
    compute = resolve(ComputeConfig(threads=1))
    measure = partial(trained, data_name, parameters, epochs, name, seed, compute, cells=cells, growth=growth)
    measured(RESULT, key, {"benchmark": "growth_study", "recipe": RECIPE}, measure, compute)


def trained(
    data_name: str,
    parameters: int,
    epochs: int,
    name: str,
    seed: int,
    compute: Compute,
    changes: dict[str, Any] | None = None,
    **size: Any,
) -> dict[str, Any]:
    """Train one network, as wide as fits, and judge it on the search split, clean and corrupted."""
    data = load(DataConfig(name=place(data_name)), seed=seed, device=compute.device)
    recipe = section(RetrainConfig, RECIPE | (changes or {}) | {"epochs": epochs})
    model, shape, cost, seconds = learned(name, parameters, data, recipe, compute, seed, fill=False, **size)
    return {
        "widths": [shape.width(stage) for stage in range(3)],
        "parameters": cost.parameters,
        "macs": cost.macs,
        "clean": round(accuracy(model, data.search, data, compute), 3),
        "corrupted": under_corruption(model, corrupted_splits(data), data, compute),
        "processor_seconds": round(seconds, 1),
    }


def learned(
    name: str,
    parameters: int,
    data: DataSet,
    recipe: RetrainConfig,
    compute: Compute,
    seed: int,
    *,
    fill: bool,
    **size: Any,
) -> tuple[nn.Module, Shape, Cost, float]:
    """A trained network, its shape, as wide as fits, its cost, and the processor time of its training."""
    space = get("nasbench201")
    genotype = space.parse(space.references.get(name, name))
    plain = Shape(in_channels=data.in_channels, image_size=data.image_size, num_classes=data.num_classes, **size)
    shape = fitted(space, genotype, plain, parameters=parameters, fill=fill)
    began = time.process_time()
    model = compute.prepare(network.build(genotype, shape, recipe, seed))
    fit(network.job(genotype, model, recipe, data, compute, seed))
    return model, shape, space.cost(genotype, shape), time.process_time() - began


def under_corruption(
    model: nn.Module, corrupted: dict[str, list[MemorySplit]], data: DataSet, compute: Compute
) -> float:
    """Percent named rightly, mean over severities and corruptions."""
    each = [sum(accuracy(model, x, data, compute) for x in splits) / len(splits) for splits in corrupted.values()]
    return round(sum(each) / len(each), 3)


def report() -> None:
    """Each growth minus the published 2: mean over seeds with a 95 % t-interval, in points."""
    runs = read(RESULT)["runs"]
    groups: dict[str, dict[str, list[float]]] = {}
    for key, found in runs.items():
        *setting, growth, seed = key.split("/")
        base = runs.get("/".join([*setting, "2", seed]))
        if growth != "2" and base is not None:
            compared(groups, "/".join([*setting, growth]), found, base)
    shown(groups)


def compared(groups: dict[str, dict[str, list[float]]], name: str, found: Any, base: Any) -> None:
    """Add the differences of one pair of runs to those of their setting."""
    group = groups.setdefault(name, {"clean": [], "corrupted": []})
    for figure, values in group.items():
        values.append(found[figure] - base[figure])


def shown(groups: dict[str, dict[str, list[float]]]) -> None:
    """Print the mean of each setting's differences with its interval."""
    for name, group in groups.items():
        print(name, {figure: interval(values) for figure, values in group.items()})


if __name__ == "__main__":
    main()
