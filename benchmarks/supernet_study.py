"""Which way of training a small NAS-Bench-201 supernet makes it rank best, at equal cost and over seeds?

One cell per stage, CIFAR-10 at 16 × 16 pixels, 40,000 training images. Every variant passes as many images through as
many sampled paths as the others (`--epochs` of one path per step). The same sampled genotypes are ranked under every
supernet; differences to the first variant are paired by seed. Variants and seeds resume and can run separately.

    python benchmarks/supernet_study.py --seeds 0 1 2
    python benchmarks/supernet_study.py --seeds 0 --variants fair ema
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scipy.stats import kendalltau

from common import RESULTS, interval, read, save
from lowland import pipeline
from lowland.config import merge
from lowland.device import resolve
from lowland.monitor import Monitor
from lowland.presets import assemble
from lowland.rank import Question, rank
from ranking_study import TRUTH, scored, settings

VARIANTS: dict[str, tuple[float, dict[str, Any]]] = {
    "a path per cell": (1.0, {}),
    "shared": (1.0, {"path": "shared"}),
    "fair": (0.2, {"path": "fair"}),
    "two paths per step": (0.5, {"paths_per_step": 2}),
    "averaged weights": (1.0, {"ema": 0.999}),
    "batch 32": (1.0, {"batch_size": 32}),
    "learning rate 0.2": (1.0, {"learning_rate": 0.2}),
    "label smoothing 0.1": (1.0, {"label_smoothing": 0.1}),
    "two cells": (0.5, {"cells": 2}),
}
"""Share of the epochs that costs as much as the first, and what is different. Fair steps run five paths."""

MEASURES = ("accuracy", "loss", "flatness", "perturbed_loss(sigma=2e-2)", "angle", "angle(angle=cells+fixed)")


def measured(variant: str, seed: int, work: Path, epochs: int, sample: int) -> dict[str, Any]:
    """τ against both truths, per measure, under one supernet."""
    share, change = VARIANTS[variant]
    base = settings(seed, work).model_dump(mode="json", exclude_unset=True)
    config = assemble(merge(base, {"supernet": {"epochs": max(1, round(share * epochs))} | change}))
    home = work / "supernet_study" / f"{epochs}" / variant.replace(" ", "-") / str(seed)
    if (home / "run" / "manifest.json").exists():
        pipeline.resume(home / "run", last="supernet")
    else:
        pipeline.run(config, home / "run", last="supernet")
    question = Question(truth=TRUTH, measures=MEASURES, sample=sample, resamples=2)
    overlay = {"measure": {"images": 500, "angle": "cells", "combine": "sum"}}
    document = rank(question, home / "rank", [overlay], supernet=home / "run", monitor=Monitor())
    rows = document["genotypes"]
    scores = scored(document)
    return {
        "seconds": document["supernet"]["seconds"],
        "tau": {
            column: {
                name: float(kendalltau(values_N, [row["truth"][column] for row in rows]).statistic)
                for name, values_N in scores.items()
            }
            for column in rows[0]["truth"]
        },
    }


def summary(variants: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and differences to the first variant on the seeds that both have."""
    first = next(iter(VARIANTS))
    result: dict[str, Any] = {}
    for name, seeds in variants.items():
        result[name] = {}
        for column in next(iter(seeds.values()))["tau"]:
            found: dict[str, Any] = {}
            for measure in MEASURES:
                found[measure] = interval([row["tau"][column][measure] for row in seeds.values()])
                both = [seed for seed in seeds if seed in variants.get(first, {})]
                if name != first and both:
                    found[measure][f"minus {first}"] = interval(
                        [
                            seeds[seed]["tau"][column][measure] - variants[first][seed]["tau"][column][measure]
                            for seed in both
                        ]
                    )
            result[name][column] = found
        result[name]["seconds"] = interval([row["seconds"] for row in seeds.values()])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--work", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    work, path = arguments.work.absolute(), RESULTS / "supernet_study.json"
    for seed in arguments.seeds:
        for variant in arguments.variants:
            found = measured(variant, seed, work, arguments.epochs, arguments.sample)
            results = read(path) or {"benchmark": "supernet_study", "epochs": {}}
            entry = results["epochs"].setdefault(str(arguments.epochs), {"sample": arguments.sample, "variants": {}})
            entry["variants"].setdefault(variant, {})[str(seed)] = found
            entry["summary"] = summary(entry["variants"])
            save(path, results, resolve(settings(seed, work).compute))
            told = "  ".join(f"{name.split('(')[0]} {tau:.3f}" for name, tau in found["tau"]["test_acc"].items())
            print(f"seed {seed} {variant}: {found['seconds']:.0f} s  {told}", flush=True)


if __name__ == "__main__":
    main()
