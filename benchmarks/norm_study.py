"""Does instance-batch norm (`network.norm=ibn`) gain on held-out images, clean and under corruption?

Networks of NAS-Bench-201's space at one budget of parameters, batch norm against instance-batch norm (which has as many
parameters and multiply-accumulates), trained and judged as in `growth_study.py`: mixup in the first 70 % of the steps,
the training split alone, judged on the search split. Test images take no part. A stopped study goes on.

    python benchmarks/norm_study.py --data embedded --params 0.1M --epochs 30 --seeds 0 1 2
    python benchmarks/norm_study.py --report
"""

from __future__ import annotations

import argparse
from functools import partial

import torch

from common import RESULTS, measured, read
from growth_study import RECIPE, compared, shown, trained
from lowland.core.config import ComputeConfig
from lowland.core.device import resolve
from lowland.core.settings import count
from rung_study import EPOCHS

RESULT = RESULTS / "norm_study.json"
NORMS = ("batch", "ibn", "ibn-quarter")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=tuple(EPOCHS), default="embedded")
    parser.add_argument("--params", default="0.1M")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--networks", nargs="+", default=["resnet-cell"], help="by hand, or genotypes")
    parser.add_argument("--norms", nargs="+", choices=NORMS, default=NORMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--report", action="store_true", help="print differences and measure nothing")
    arguments = parser.parse_args()
    if arguments.report:
        report()
        return
    torch.set_num_threads(1)
    compute = resolve(ComputeConfig(threads=1))
    for seed in arguments.seeds:
        for name in arguments.networks:
            for norm in arguments.norms:
                parameters = count("--params", arguments.params)
                key = f"{arguments.data}/{parameters}/{arguments.epochs}/{name}/{seed}/{norm}"
                measure = partial(
                    trained, arguments.data, parameters, arguments.epochs, name, seed, compute, cells=1, norm=norm
                )
                measured(RESULT, key, {"benchmark": "norm_study", "recipe": RECIPE}, measure, compute)


def report() -> None:
    """Instance-batch norm minus batch norm: mean over seeds with a 95 % t-interval, in points."""
    runs = read(RESULT)["runs"]
    groups: dict[str, dict[str, list[float]]] = {}
    for key, found in runs.items():
        setting, norm = key.rsplit("/", 1)
        base = runs.get(f"{setting}/batch")
        if norm != "batch" and base is not None:
            compared(groups, setting.rsplit("/", 1)[0], found, base)
    shown(groups)


if __name__ == "__main__":
    main()
