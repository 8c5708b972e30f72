"""GeNAS, Tables 2 and 3 and Fig. 3: cells found on one data set, trained on another at equal MACs.

For every seed one supernet of DARTS cells is trained on CIFAR-10; every measure searches with it; what is found is
trained on the target with the width that fills the same MACs, judged on its test images, clean and corrupted, and its
loss drawn against weight noise there. Small: the target is Imagenette at 64 pixels, the published one ImageNet; the
stem is that for ImageNet in both. `--gammas` adds the sums of Table 8, angle + flatness at several weights.

    python benchmarks/paper/transfer.py
    python benchmarks/paper/transfer.py --scale published --source cifar10 --target /data/imagenet
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib import pyplot as plt

from lowland import flatness, load
from lowland.core.config import ComputeConfig
from lowland.core.device import resolve
from lowland.core.genotype import Genotype
from lowland.data import load as load_data
from lowland.store.artifacts import Searched, evaluated
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from paper import beside, carried, cifar10_npz, imagenette, interval, parser, read, save

matplotlib.use("Agg")

MEASURES = {
    "accuracy (SPOS)": "accuracy",
    "angle (RLNAS)": "angle",
    "flatness": "flatness",
    "accuracy + flatness": "accuracy+flatness",
    "angle + flatness": "angle+flatness",
}
FIRST = "accuracy (SPOS)"
PUBLISHED = {"flatness": 75.95, "angle + flatness": 76.06, "angle (RLNAS)": 75.7}
"""ImageNet top-1 of networks searched for on CIFAR-10 (Tables 2 and 3; RLNAS' own paper for angle)."""

SIGMAS = (1e-3, 3e-3, 6e-3, 1e-2, 2e-2)
"""Of Fig. 3's curves here, besides none."""


def searched_layers(arguments: argparse.Namespace, source: str) -> dict[str, Any]:
    """What all searches of a seed share."""
    if arguments.scale == "published":
        return {"space": "darts", "preset": "paper", "data": {"name": source}}
    return {
        "space": "darts",
        "data": {"name": source},
        "supernet": {"epochs": arguments.epochs},
        "measure": {"combine": "sum"},
        "search": {
            "finalists": 0,
            "workers": 1,
            "options": {
                "evolution": {
                    "population": arguments.population,
                    "generations": arguments.generations,
                    "parents": max(1, arguments.population // 5),
                    "mutations": arguments.population // 2,
                    "crossovers": arguments.population // 2,
                }
            },
        },
        "compute": {"threads": 1},
    }


def target_layers(arguments: argparse.Namespace, target: str, genotype: str) -> dict[str, Any]:
    """How a genotype is trained on the target."""
    found: dict[str, Any] = {
        "space": "darts",
        "data": {"name": target},
        "search": {
            "searcher": "given",
            "max_macs": arguments.macs or (600_000_000 if arguments.scale == "published" else 15_000_000),
            "options": {"given": {"genotypes": [genotype]}},
        },
        "network": {"channels": "fit"},
        "evaluate": {"suites": ["classification", "corruptions"]},
    }
    if arguments.scale == "published":
        return found | {"preset": "imagenet"}
    found["network"] |= {"cells": arguments.cells, "stem": "imagenet"}  # at 64 pixels as wide as the published at 224
    found["evaluate"]["options"] = {"corruptions": {"images": arguments.corrupted_images}}
    return found | {
        "retrain": {"optimizer": "sgd", "epochs": arguments.retrain_epochs, "min_steps": 0, "learning_rate": 0.025},
        "compute": {"threads": 1},
    }


def curve(run: Path) -> dict[str, Any]:
    """Fig. 3: cross-entropy on test images of a trained network under weight noise."""
    with Run.open(run, read_only=True) as opened:
        data = load_data(opened.config.data, seed=opened.config.seed)
    network = load(run)
    count = min(500, len(data.test))
    batches = [
        (data.normalise(data.test.images(part)), data.test.labels_N[part]) for part in torch.arange(count).split(100)
    ]
    found = flatness(network.body, batches, sigmas=SIGMAS, draws=2)
    return {
        "sigmas": [0.0, *SIGMAS],
        "loss": [found.loss, *found.noisy_losses],
        "standard_error": [found.loss_se, *found.noisy_losses_se],
        "images": count,
    }


def trained(run: Path) -> dict[str, Any]:
    """What became of a genotype on the target."""
    with Run.open(run, read_only=True) as opened:
        records = {record.suite: record.results for record in evaluated(opened)}
        best = Searched.read(opened).ranking[0]
        genotype = Genotype("darts", best.genes)
    network = load(run)
    return {
        "top1": records["classification"]["networks"]["1"]["top1"],
        "mean_corruption_error": records["corruptions"]["networks"]["1"]["mean_corruption_error"],
        "genotype": str(genotype),
        "channels": network.shape.channels,
        "parameters": best.parameters,
        "macs": best.macs,
        "fig3": curve(run),
    }


def row(measure: str, seeds: Mapping[str, Mapping[str, Any]], differs: str) -> dict[str, Any]:
    """One search's row over seeds: clean accuracy beside the published one, under corruption; minus SPOS', paired."""
    found = [of for of in seeds.values() if measure in of]
    made = beside([of[measure]["top1"] for of in found], PUBLISHED.get(measure), differs)
    made["mean_corruption_error"] = interval([of[measure]["mean_corruption_error"] for of in found])
    paired = [of for of in found if FIRST in of]
    if measure != FIRST and paired:
        made["minus accuracy"] = {
            figure: interval([of[measure][figure] - of[FIRST][figure] for of in paired])
            for figure in ("top1", "mean_corruption_error")
        }
    return made


def draw(seeds: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Fig. 3: loss on test images under weight noise of what each search found, mean over seeds ± standard error."""
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    searches = sorted({name for of in seeds.values() for name in of})
    for number, name in enumerate(searches):
        curves = [of[name]["fig3"] for of in seeds.values() if name in of]
        losses = np.array([each["loss"] for each in curves])
        spread = losses.std(axis=0, ddof=1) / np.sqrt(len(losses)) if len(losses) > 1 else np.zeros(losses.shape[1])
        style = ("-", "--", "-.", ":")[number % 4]
        axes.errorbar(
            curves[0]["sigmas"], losses.mean(axis=0), spread, marker="osD^v"[number % 5], linestyle=style, label=name
        )
    axes.set_xlabel("standard deviation σ of the noise on all weights")
    axes.set_ylabel("cross-entropy on test images")
    axes.set_title("What each search found, trained on the target")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def copied(source: Path, folder: Path) -> Path:
    """A run whose supernet is trained, of which every search is a copy."""
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        half = folder.with_name(f".{folder.name}.tmp")
        shutil.rmtree(half, ignore_errors=True)
        shutil.copytree(source, half)
        half.rename(folder)
    return folder


def main() -> None:
    made = parser(__doc__, "transfer")
    add = made.add_argument
    add("--source", help="data to search on [default: the first --images of CIFAR-10]")
    add("--target", help="data to train on [default: Imagenette at 64 pixels; published: an ImageNet folder]")
    add("--images", type=int, default=4000)
    add("--target-images", type=int, default=3000)
    add("--measures", nargs="+", default=list(MEASURES), choices=list(MEASURES))
    add("--gammas", type=float, nargs="*", default=[], help="Table 8: weights of flatness beside the angle")
    add("--epochs", type=int, default=15, help="small: of the supernets")
    add("--retrain-epochs", type=int, default=12, help="small: on the target")
    add("--population", type=int, default=12)
    add("--generations", type=int, default=4)
    add("--corrupted-images", type=int, default=250, help="small: test images under each corruption")
    add("--cells", type=int, default=5, help="small: depth on the target")
    add("--macs", type=int, help="MACs of the trained networks [default: 15 M; published 600 M]")
    arguments = made.parse_args()
    work, path = arguments.work.absolute(), arguments.out / "transfer.json"
    if arguments.scale == "published" and arguments.target is None:
        made.error("--scale published trains on ImageNet; give its folder with --target")
    source = arguments.source or str(cifar10_npz(work / "data", arguments.images, 500))
    target = arguments.target or str(imagenette(work / "data", arguments.target_images, 1000))
    measures = {name: {"name": MEASURES[name]} for name in arguments.measures} | {
        f"angle + flatness, γ = {gamma:g}": {
            "name": "angle+flatness",
            "options": {"flatness": {"gamma": gamma}},
        }
        for gamma in arguments.gammas
    }
    differs = (
        "none but the machine and what chance decides"
        if arguments.scale == "published"
        else f"searched on {arguments.images:,} images for {arguments.epochs} epochs; trained on another, smaller data "
        f"set at 64 pixels for {arguments.retrain_epochs} epochs; published figures are ImageNet top-1, to compare the "
        "order of rows only"
    )
    results = read(path)
    seeds: dict[str, dict[str, Any]] = results.get("seeds", {})
    for seed in arguments.seeds:
        config = assemble(searched_layers(arguments, source), {"seed": seed, "measure": {"name": "accuracy"}})
        supernet = carried(config, work / str(seed) / "supernet", "supernet")
        for name, measure in measures.items():
            folder = name.replace(" ", "").replace("=", "")
            home = copied(supernet, work / str(seed) / f"search-{folder}")
            pipeline.resume(home, last="search", changes=[{"measure": {**measure, "combine": "sum"}}])
            with Run.open(home, read_only=True) as opened:
                best = Searched.read(opened).ranking[0]
            settings = assemble(target_layers(arguments, target, best.genotype), {"seed": seed})
            of_seed, same = seeds.setdefault(str(seed), {}), str(Genotype("darts", best.genes))
            twins = [found for label, found in of_seed.items() if label != name and found["genotype"] == same]
            if twins:  # two searches found one network
                of_seed[name] = twins[0]
            else:
                of_seed[name] = trained(carried(settings, work / str(seed) / f"target-{folder}", "evaluate"))
            found = {label for of in seeds.values() for label in of}
            rows = {label: row(label, seeds, differs) for label in sorted(found)}
            asked = {key: value for key, value in vars(arguments).items() if key not in ("work", "out")}
            arguments.out.mkdir(parents=True, exist_ok=True)
            document = {"benchmark": "transfer", "arguments": asked, "seeds": seeds, "rows": rows}
            save(path, document, resolve(ComputeConfig(device="cpu", threads=1)))
            draw(seeds, arguments.out / "transfer_fig3.png")
            print(f"seed {seed} {name:26s} top-1 {seeds[str(seed)][name]['top1']:.2f}", flush=True)


if __name__ == "__main__":
    main()
