"""Which optimiser learns most in as many steps, or as much in fewer? Judged on held-out images, clean and corrupted.

The ResNet cell of NAS-Bench-201's space at one budget of parameters with the default's norm, trained and judged as in
`growth_study.py`: mixup in the first 70 % of the steps, the training split alone, judged on the search split. Test
images take no part. A stopped study goes on.

    python benchmarks/optimizer_study.py --data embedded --epochs 30 --seeds 0 1 2
    python benchmarks/optimizer_study.py --data embedded --epochs 20 --recipes muon --seeds 0 1 2
    python benchmarks/optimizer_study.py --report
"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

import torch

from common import RESULTS, measured, read
from growth_study import RECIPE, compared, shown, trained
from lowland.core.config import ComputeConfig
from lowland.core.device import resolve
from lowland.core.settings import count
from rung_study import EPOCHS

RESULT = RESULTS / "optimizer_study.json"
RECIPES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "muon": {"optimizer": "muon"},
    "muon-half": {"optimizer": "muon", "mixed_share": 0.5},
    "muon-all": {"optimizer": "muon", "mixed_share": 1.0},
    "muon-strong": {"optimizer": "muon", "mixup": 1.0},
    "muon.02": {"optimizer": "muon", "muon_learning_rate": 0.02, "muon_weight_decay": 0.5},
    "muon-.07": {"optimizer": "muon", "muon_learning_rate": 0.07},
    "muon.1": {"optimizer": "muon", "muon_learning_rate": 0.1},
    "muon-wd.3": {"optimizer": "muon", "muon_weight_decay": 0.3},
    "muon-linear": {"optimizer": "muon", "schedule": "linear"},
    "muon-cutout8": {"optimizer": "muon", "cutout": 8},
    "muon-crop": {"optimizer": "muon", "resized_crop": 0.5},
    "muon-trivial": {"optimizer": "muon", "augment": "trivial"},
    "muon-cutmix": {"optimizer": "muon", "cutmix": 1.0},
    "adamw": {"optimizer": "adamw", "learning_rate": 3e-3, "weight_decay": 0.05},
}
BASE = ("sgd", 30)
NORM = "ibn-quarter"
GROWTH = 2.0
"""The preset's norm and growth; differences are from `BASE` with them."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=tuple(EPOCHS), default="embedded")
    parser.add_argument("--params", default="0.1M")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--network", default="resnet-cell", help="by hand, or a genotype")
    parser.add_argument("--norm", default=NORM, help="as network.norm; default: the preset's")
    parser.add_argument("--growth", type=float, default=GROWTH, help="as network.growth")
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), default=["sgd", "muon"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="print differences and measure nothing")
    arguments = parser.parse_args()
    if arguments.report:
        report()
        return
    torch.set_num_threads(1)
    compute = resolve(ComputeConfig(threads=1))
    parameters = count("--params", arguments.params)
    for seed in arguments.seeds:
        for recipe in arguments.recipes:
            size = f"{arguments.data}/{parameters}/{arguments.network}/{arguments.norm}/{arguments.growth:g}"
            key = f"{size}/{recipe}/{arguments.epochs}/{seed}"
            measure = partial(
                trained,
                arguments.data,
                parameters,
                arguments.epochs,
                arguments.network,
                seed,
                compute,
                RECIPES[recipe],
                cells=1,
                norm=arguments.norm,
                growth=arguments.growth,
            )
            heading = {"benchmark": "optimizer_study", "recipe": RECIPE}
            measured(RESULT, key, heading, measure, compute)


def report() -> None:
    """Each recipe and number of epochs minus SGD in 30: mean over seeds with a 95 % t-interval, in points."""
    runs = read(RESULT)["runs"]
    groups: dict[str, dict[str, list[float]]] = {}
    for key, found in runs.items():
        setting, seed = key.rsplit("/", 1)
        data, parameters, network = setting.split("/")[:3]
        base = runs.get("/".join([data, parameters, network, NORM, f"{GROWTH:g}", BASE[0], str(BASE[1]), seed]))
        if base is not None and base is not found:
            compared(groups, setting, found, base)
    shown(groups)


if __name__ == "__main__":
    main()
