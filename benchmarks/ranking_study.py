"""Which measures, and which label-free combinations, order NAS-Bench-201 as full training does, over supernet seeds?

Trains one supernet per seed on CIFAR-10 (../shared/data), ranks the same sampled genotypes by every measure with
`lowland rank`, searches with the label-free combination, and looks up the true accuracy of what was found. No weight is
fitted to anything: combinations are sums of (log-)ranks. Every part resumes; run it again to go on.

    python benchmarks/ranking_study.py --seeds 0 1 2 --part supernet     # about 20 core-minutes a seed
    python benchmarks/ranking_study.py --seeds 0 1 2                     # the rest, and the summary
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

from common import RESULTS, SHARED, cifar10_npz, interval, save
from lowland import pipeline, presets
from lowland.config import Config
from lowland.device import resolve
from lowland.monitor import Monitor
from lowland.rank import Question, rank
from lowland.run import Run

TRUTH = SHARED / "nas" / "nasbench201_cifar10.csv.gz"

TRAINED = (
    "accuracy",
    "loss",
    "flatness",
    "flatness(alpha=0)",
    "perturbed_loss(sigma=2e-2)",
    "perturbed_loss(sigma=4e-2)",
    "adaptive_sharpness(sigma=0.1)",
    "robustness(sigma=0.1, draws=4)",
    "angle",
)
"""Measures of the trained supernet."""

DEEP = "untrained_cells=5, untrained_batch=16"
"""Untrained measures look at networks as deep as the truth's; they cost no training."""

UNTRAINED = (
    *(f"{name}({DEEP})" for name in ("vkdnw", "expressivity", "progressivity", "trainability", "jacob_cov", "naswot")),
    "synflow(untrained_cells=5)",
    "macs",
)

COMBINATIONS: dict[str, tuple[str, ...]] = {
    # One measure of each kind: trained loss under noise, turn of the weights, untrained network, size.
    "one of each kind": ("perturbed_loss(sigma=2e-2)", "angle", UNTRAINED[0], "macs"),
    "AZ-NAS (untrained)": (UNTRAINED[1], UNTRAINED[2], UNTRAINED[3], "macs"),
    "VKDNW's five (untrained)": (UNTRAINED[0], UNTRAINED[4], UNTRAINED[1], UNTRAINED[3], "macs"),
    "VKDNW's five, angle": (UNTRAINED[0], UNTRAINED[4], UNTRAINED[1], UNTRAINED[3], "macs", "angle"),
    "VKDNW's five, angle, loss under noise": (
        *(UNTRAINED[0], UNTRAINED[4], UNTRAINED[1], UNTRAINED[3]),
        *("macs", "angle", "perturbed_loss(sigma=2e-2)"),
    ),
    "all untrained, angle, loss under noise": (*UNTRAINED, "angle", "perturbed_loss(sigma=2e-2)"),
    "flatness, angle": ("flatness", "angle"),
    "accuracy, angle": ("accuracy", "angle"),
    "trial runs' five": ("perturbed_loss(sigma=2e-2)", "angle", UNTRAINED[5], UNTRAINED[6], "macs"),
}

PICKED = "perturbed_loss(sigma=2e-2)+angle+macs+naswot+synflow"
"""What the search is made with: parts that together take a fraction of a second per candidate."""


def settings(seed: int, work: Path) -> Config:
    """One cell per stage at 16 × 16 pixels, a path per cell, 70 epochs of 40,000 images."""
    layers: dict[str, Any] = {
        "seed": seed,
        "data": {"name": str(cifar10_npz(work / "data", 50_000)), "image_size": 16, "search_fraction": 0.2},
        "supernet": {
            "cells": 1,
            "epochs": 70,
            "batch_size": 64,
            "learning_rate": 0.1,
            "nesterov": True,
            "weight_decay": 5e-4,
            "final_learning_rate": 0.0,
            "path": "per-cell",
        },
        "compute": {"threads": 1},
    }
    return presets.assemble(layers)


def supernet(seed: int, work: Path) -> Path:
    folder = work / "ranking" / f"supernet-{seed}"
    if (folder / "manifest.json").exists():
        pipeline.resume(folder, last="supernet")
    else:
        pipeline.run(settings(seed, work), folder, last="supernet")
    return folder


def ranked(seed: int, work: Path, sample: int) -> dict[str, Any]:
    sums = tuple(COMBINATIONS.values())
    question = Question(
        truth=TRUTH, measures=TRAINED + UNTRAINED, rank_sums=sums, log_rank_sums=sums, sample=sample, resamples=200
    )
    overlay = {"measure": {"images": 500, "angle": "cells"}}
    home = work / "ranking" / f"supernet-{seed}"
    return rank(question, work / "ranking" / f"rank-{seed}", [overlay], supernet=home, monitor=Monitor())


def picked(seed: int, work: Path, table: dict[str, dict[str, str]]) -> dict[str, Any]:
    """True accuracies of the genotype that a search with the label-free combination puts first."""
    home = work / "ranking" / f"supernet-{seed}"
    change = {
        "measure": {"name": PICKED, "combine": "log-rank", "images": 500, "angle": "cells"},
        "search": {"population": 50, "generations": 12, "parents": 15, "mutations": 25, "crossovers": 15},
    }
    pipeline.resume(home, changes=[change], last="search")
    with Run.open(home, read_only=True) as run:
        found = run.read_json("search.json")
    row = table[found["ranking"][0]["genotype"]]
    return {
        "genotype": row["arch"],
        "test_acc": float(row["test_acc"]),
        "corrupt_mean": float(row["corrupt_mean"]),
        "candidates": found["summary"]["proposed"],
    }


def summary(documents: dict[int, dict[str, Any]], kind: str, column: str) -> dict[str, Any]:
    """τ-b of every row, per seed and over seeds."""
    rows: dict[str, list[float]] = {}
    for document in documents.values():
        for row in document["measures"]:
            if row["kind"] == kind:
                rows.setdefault(row["name"], []).append(row["truth"][column]["all"]["tau"]["value"])
    return {name: {"per_seed": values} | interval(values) for name, values in rows.items()}


def differences(taus: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Paired differences over seeds."""
    return {
        f"{first} - {second}": interval(
            [a - b for a, b in zip(taus[first]["per_seed"], taus[second]["per_seed"], strict=True)]
        )
        for first, second in combinations(names, 2)
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--part", choices=("supernet", "rank", "search", "all"), default="all")
    parser.add_argument("--work", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    with gzip.open(TRUTH, "rt") as stream:
        table = {row["arch"]: row for row in csv.DictReader(stream)}
    parts: dict[str, Callable[[int], Any]] = {
        "supernet": lambda seed: supernet(seed, work),
        "rank": lambda seed: ranked(seed, work, arguments.sample),
        "search": lambda seed: picked(seed, work, table),
    }
    if arguments.part != "all":
        for seed in arguments.seeds:
            found = parts[arguments.part](seed)
            print(arguments.part, seed, found if isinstance(found, Path) else "done", flush=True)
        return
    for seed in arguments.seeds:
        supernet(seed, work)
    documents = {seed: ranked(seed, work, arguments.sample) for seed in arguments.seeds}
    picks = {seed: picked(seed, work, table) for seed in arguments.seeds}
    columns = next(iter(documents.values()))["truth"]["columns"]
    named = {", ".join(parts): name for name, parts in COMBINATIONS.items()}
    results: dict[str, Any] = {"benchmark": "ranking_study", "combinations": COMBINATIONS, "picked": picks, "tau": {}}
    for column in columns:
        taus = summary(documents, "measure", column)
        sums = {}
        for kind in ("rank sum", "log-rank sum"):
            found = summary(documents, kind, column)
            sums[kind] = {named[name.removeprefix(f"{kind} of ")]: value for name, value in found.items()}
        first = documents[arguments.seeds[0]]["measures"]
        results["tau"][column] = {
            "measures": taus,
            **sums,
            "differences": differences(taus, ("flatness", "accuracy", "loss")),
            "scored": {row["name"]: row["scored"] for row in first},
        }
    results["seconds_per_candidate"] = {
        row["name"]: row["seconds"] for row in documents[arguments.seeds[0]]["measures"] if row["kind"] == "measure"
    }
    results["supernet_seconds"] = {seed: document["supernet"]["seconds"] for seed, document in documents.items()}
    results["settings"] = {"sample": arguments.sample, "seeds": arguments.seeds}
    save(RESULTS / "ranking_study.json", results, resolve(settings(arguments.seeds[0], work).compute))
    print(json.dumps({key: results[key] for key in ("picked", "tau")}, indent=1))


if __name__ == "__main__":
    main()
