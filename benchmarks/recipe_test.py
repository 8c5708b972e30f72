"""The recipe that `recipe_study.py` chose on held-out training images, against the default before it, on test images.

Both train the same network on all training images, on seeds that took no part in the choice; top-1 on the test images,
clean and under the fifteen standard corruptions at all severities. The unit of the interval is the seed.

    nice -n 5 python benchmarks/recipe_test.py --recipes base trivial --seeds 10 11 12
"""

from __future__ import annotations

import argparse

import torch

from common import RESULTS, interval, read, save
from lowland.core.config import ComputeConfig, DataConfig, RetrainConfig
from lowland.core.device import resolve
from lowland.core.settings import merge, section
from lowland.data import SEVERITIES, STANDARD, MemorySplit, corrupt, load
from recipe_study import RECIPES, RESNET, changed, source, trained

RESULT = RESULTS / "recipe_test.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("embedded", "cifar10"), default="embedded")
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12])
    parser.add_argument("--recipes", nargs="+", default=["base"], choices=list(RECIPES))
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--genotype", default=RESNET)
    arguments = parser.parse_args()
    compute = resolve(ComputeConfig(threads=1))
    results = read(RESULT) or {"benchmark": "recipe_test", "runs": {}}
    for seed in arguments.seeds:
        data = load(DataConfig(name=source(arguments.data)), seed=seed, device=compute.device)
        test = data.test.images(torch.arange(len(data.test))), data.test.labels_N
        corrupted = {
            name: [MemorySplit(corrupt(test[0], name, s, seed=seed), test[1]) for s in SEVERITIES] for name in STANDARD
        }
        for name in arguments.recipes:
            key = f"{arguments.data}/{arguments.genotype}/{arguments.epochs}/{name}/{seed}"
            if key not in results["runs"]:
                recipe = section(RetrainConfig, changed(name, arguments.epochs))
                found = trained(recipe, data, data.test, corrupted, compute, seed, arguments.genotype)
                results = merge(read(RESULT) or results, {"runs": {key: found}})
                save(RESULT, results, compute)
                print(key, found["clean"], found["corrupted"], found["groups"], found["seconds"], flush=True)
    groups = sorted({key.rpartition("/")[0] for key in results["runs"]})
    results["summary"] = {
        group: {
            what: interval([run[what] for key, run in results["runs"].items() if key.rpartition("/")[0] == group])
            for what in ("clean", "corrupted", "seconds")
        }
        for group in groups
    }
    save(RESULT, results, compute)


if __name__ == "__main__":
    main()
