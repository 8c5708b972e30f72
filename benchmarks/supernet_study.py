"""Which way of training a small NAS-Bench-201 supernet makes it rank best, at equal cost and over seeds?

One cell per stage, CIFAR-10 at 16 × 16 pixels, 40,000 training images. Every variant passes as many images through as
many sampled paths as the others (`--epochs` of one path per step). The same sampled genotypes are ranked under every
supernet, by measures of the trained weights and by label-free combinations with untrained measures; differences to the
first variant are paired by seed. "all together" ranks by the sum of log-ranks under all supernets of a seed. Variants
and seeds resume and can run separately.

    python benchmarks/supernet_study.py --seeds 0 1 2
    python benchmarks/supernet_study.py --seeds 0 --variants fair ema
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scipy.stats import kendalltau

from common import RESULTS, interval, read, save
from lowland.core.device import resolve
from lowland.core.monitor import Monitor
from lowland.core.settings import merge
from lowland.measures.aggregation import log_rank_sum
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.rank import RankingRequest, rank
from ranking_study import COMBINATIONS, PLAIN, TRUTH, UNTRAINED, scored, settings, untrained

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

TOGETHER = "all together"
STEADY = "perturbed_accuracy(draws=16, noise_images=250)"
MEASURES = (STEADY, "accuracy", "loss", "flatness", "perturbed_loss(sigma=2e-2)", "angle", "angle(vector=cells+fixed)")


def measured(variant: str, seed: int, work: Path, epochs: int, sample: int) -> dict[str, Any]:
    """Scores and truths of the sampled genotypes under one supernet."""
    share, change = VARIANTS[variant]
    base = settings(seed, work).model_dump(mode="json", exclude_unset=True)
    config = assemble(merge(base, {"supernet": {"epochs": max(1, round(share * epochs))} | change}))
    home = work / "supernet_study" / f"{epochs}" / variant.replace(" ", "-") / str(seed)
    if (home / "run" / "manifest.json").exists():
        pipeline.resume(home / "run", last="supernet")
    else:
        pipeline.run(config, home / "run", last="supernet")
    request = RankingRequest(truth=TRUTH, measures=MEASURES, sample=sample, resamples=2)
    noise = {"images": 500, "draws": 1, "options": {"flatness": {"sigmas": [1e-2, 2e-2]}}}
    overlay = {"measure": merge(PLAIN, noise)}
    return rank(request, home / "rank", [overlay], supernets=[home / "run"], monitor=Monitor())


def judged(documents: list[dict[str, Any]], shared: dict[str, Any]) -> dict[str, Any]:
    """τ-b against both truths of measures and combinations; under several supernets, of the sums of their log-ranks."""
    rows = shared["genotypes"]
    for document in documents:
        assert [row["genes"] for row in document["genotypes"]] == [row["genes"] for row in rows]
    found = [scored(document) for document in documents]
    scores = {name: log_rank_sum([each[name] for each in found]) for name in found[0]}
    if len(found) == 1:
        scores = found[0]
    scores |= {
        name: log_rank_sum([(scores | scored(shared))[part] for part in parts])
        for name, parts in COMBINATIONS.items()
        if set(parts) <= {*MEASURES, *UNTRAINED}
    } | scored(shared)
    return {
        "seconds": sum(document["supernets"][0]["seconds"] for document in documents),
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
            for measure in next(iter(seeds.values()))["tau"][column]:
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
    shared = untrained(work, arguments.sample)
    for seed in arguments.seeds:
        documents = []
        for variant in arguments.variants:
            documents.append(measured(variant, seed, work, arguments.epochs, arguments.sample))
            kept(path, arguments, variant, seed, judged(documents[-1:], shared))
        if len(documents) > 1:
            kept(path, arguments, TOGETHER, seed, judged(documents, shared))


def kept(path: Path, arguments: argparse.Namespace, variant: str, seed: int, found: dict[str, Any]) -> None:
    """Add one variant's figures under one seed to the results."""
    results = read(path) or {"benchmark": "supernet_study", "epochs": {}}
    entry = results["epochs"].setdefault(str(arguments.epochs), {"sample": arguments.sample, "variants": {}})
    entry["variants"].setdefault(variant, {})[str(seed)] = found
    entry["summary"] = summary(entry["variants"])
    save(path, results, resolve(settings(seed, arguments.work.absolute()).compute))
    told = "  ".join(f"{name.split('(')[0]} {found['tau']['test_acc'][name]:.3f}" for name in MEASURES)
    print(f"seed {seed} {variant}: {found['seconds']:.0f} s  {told}", flush=True)


if __name__ == "__main__":
    main()
