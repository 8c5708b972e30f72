"""GeNAS, Tables 1, 5 to 8 and Figs 2 and 4: how measures rank NAS-Bench-201, on supernets of several seeds.

Trains a supernet for every seed, then measures (`benchmarks/genas_tables.py`); all of it goes on where it stopped.

    python benchmarks/paper/ranking.py
    python benchmarks/paper/ranking.py --scale published --data /data/cifar10.npz
"""

from __future__ import annotations

from typing import Any

from lowland.workflow.presets import assemble
from paper import SHARED, carried, cifar10_npz, genas_tables, parser

SMALL: dict[str, Any] = {
    "data": {"image_size": 16},
    "supernet": {"epochs": 30, "cells": 1},
    "measure": {"draws": 1, "images": 500, "calibration_images": 512},
    "compute": {"threads": 1},
}
"""With the data's own size and the preset's three cells and draws a genotype takes up to 50 core-seconds."""


def main() -> None:
    made = parser(__doc__, "ranking")
    made.add_argument("--data", help="CIFAR-10 [default: its first --images, from the development folder]")
    made.add_argument("--images", type=int, default=25_000)
    made.add_argument("--epochs", type=int, help="of the supernets [default: 30; published 250]")
    made.add_argument("--sample", type=int, help="genotypes [default: 150; published all 15,625]")
    made.add_argument("--hessian", type=int, help="of them along the Hessian's direction [default: 12; published 1000]")
    made.add_argument("--truth", default=str(SHARED / "nas" / "nasbench201_cifar10.csv.gz"))
    arguments = made.parse_args()
    work, published = arguments.work.absolute(), arguments.scale == "published"
    data = arguments.data or str(cifar10_npz(work / "data", arguments.images))
    layers: list[dict[str, Any]] = [{"data": {"name": data}}, {"preset": "paper"} if published else SMALL]
    if arguments.epochs:
        layers.append({"supernet": {"epochs": arguments.epochs}})
    runs = [
        carried(assemble(*layers, {"seed": seed}), work / f"supernet-{seed}", "supernet") for seed in arguments.seeds
    ]
    sample = arguments.sample if arguments.sample is not None else 0 if published else 150
    hessian = arguments.hessian if arguments.hessian is not None else 1000 if published else 12
    arguments.out.mkdir(parents=True, exist_ok=True)
    genas_tables.main(
        [
            *(word for run in runs for word in ("--supernet", str(run))),
            *("--truth", arguments.truth, "--sample", str(sample), "--hessian", str(hessian)),
            *("--work", str(work / "losses"), "--out", str(arguments.out)),
        ]
    )


if __name__ == "__main__":
    main()
