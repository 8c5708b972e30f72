"""Which measures, and which label-free combinations, order NAS-Bench-201 as full training does, over supernet seeds?

Trains one supernet per seed on CIFAR-10 (../shared/data), ranks the same sampled genotypes by every measure with
`lowland rank`, searches with the label-free combination, and looks up the true accuracy of what was found. Untrained
measures are scored once, on networks as deep as the truth's and at its 32 × 32 pixels. No weight is fitted to anything:
combinations are sums of (log-)ranks. Every part resumes; run it again to go on.

FlatNAS's request is asked of the same scores: of random hundreds of the genotypes, each measure picks the best within
a limit of parameters, and the table knows its error, clean and under corruption.

    python benchmarks/ranking_study.py --seeds 0 1 2 --part supernet     # about 20 core-minutes a seed
    python benchmarks/ranking_study.py --seeds 0 1 2                     # the rest, and the summary
    python benchmarks/ranking_study.py --name short --epochs 20 --sample 200     # the same with cheaper supernets
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from common import RESULTS, SHARED, cifar10_npz, interval, save
from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.measures.aggregation import log_rank_sum, rank_sum
from lowland.spaces import Shape
from lowland.workflow import pipeline, presets
from lowland.workflow.rank import RankingRequest, rank
from ranking_picks import BRIEFLY, STEADY, picked

Array = NDArray[np.float64]

TRUTH = SHARED / "nas" / "nasbench201_cifar10.csv.gz"

ROBUSTNESS = "robustness(sigma=0.1, draws=4)"
TRAINED = (
    "accuracy",
    "loss",
    "flatness",
    "flatness(alpha=0)",
    "perturbed_loss(sigma=2e-2)",
    "perturbed_loss(sigma=4e-2)",
    "adaptive_sharpness(sigma=0.1)",
    ROBUSTNESS,
    "angle",
    "angle(vector=cells+fixed)",
)
"""Measures of the trained supernet; the angle is over searched weights, or also over stem, reductions and head."""

UNTRAINED = ("meco", "vkdnw", "expressivity", "progressivity", "trainability", "jacob_cov", "naswot", "synflow", "macs")
"""Measures of untrained networks."""

ALPHAS = (0.1, 0.5, 0.9)
"""Of F_α, made from accuracy and R as scored, with k = mean(err)/mean(R) over the sample."""

NOISY, FULL = "perturbed_loss(sigma=2e-2)", "angle(vector=cells+fixed)"
MERIT = "flatnas(alpha=0.9, sigma=0.1, draws=4)"
NOISIER = "flatnas(alpha=0.5, sigma=0.2, draws=8)"
LARGER = "perturbed_loss(sigma=4e-2)"
DEFAULT = (LARGER, "angle", "macs", "naswot", "synflow", "meco", "expressivity")
SIX = ("meco", "expressivity", "naswot", "macs", NOISY, "angle")
VKDNW = ("vkdnw", "jacob_cov", "expressivity", "trainability", "macs")
COMBINATIONS: dict[str, tuple[str, ...]] = {
    "one of each kind": (NOISY, "angle", "vkdnw", "macs"),
    "MeCo, expressivity, MACs (untrained)": ("meco", "expressivity", "macs"),
    "MeCo, expressivity, MACs, loss under noise": ("meco", "expressivity", "macs", NOISY),
    "MeCo, expressivity, MACs, loss under noise, angle": ("meco", "expressivity", "macs", NOISY, "angle"),
    "MeCo, expressivity, NASWOT, MACs, loss under noise, angle": SIX,
    "MeCo, expressivity, NASWOT, MACs, F_0.9, angle": ("meco", "expressivity", "naswot", "macs", MERIT, "angle"),
    "the default preset's seven": DEFAULT,
    "seven, the loss under half that noise": (NOISY, *DEFAULT[1:]),
    "seven, F_0.9 for loss under noise": (MERIT, *DEFAULT[1:]),
    "the default preset's seven without training": DEFAULT[2:],
    "the default preset's seven and 12 epochs of real training": (*DEFAULT, BRIEFLY),
    "the default preset's seven, 12 epochs of real training for the trained two": (*DEFAULT[2:], BRIEFLY),
    "seven, F_0.5 for loss under noise": (NOISIER, *DEFAULT[1:]),
    "the default preset's seven and F_0.5": (*DEFAULT, NOISIER),
    "the default preset's seven and trainability": (*DEFAULT, "trainability"),
    "the default preset's seven, trainability for NASWOT": (
        *(name for name in DEFAULT if name != "naswot"),
        "trainability",
    ),
    "the default preset's seven and VKDNW": (*DEFAULT, "vkdnw"),
    "one of each kind, angle of all weights": (NOISY, FULL, "vkdnw", "macs"),
    "AZ-NAS (untrained)": ("expressivity", "progressivity", "trainability", "macs"),
    "VKDNW's five (untrained)": VKDNW,
    "VKDNW's five, angle": (*VKDNW, "angle"),
    "VKDNW's five, angle, loss under noise": (*VKDNW, "angle", NOISY),
    "VKDNW's five, angle of all weights, loss under noise": (*VKDNW, FULL, NOISY),
    "all untrained, angle, loss under noise": (*UNTRAINED, "angle", NOISY),
    "five, as the presets had": (NOISY, "angle", "macs", "naswot", "synflow"),
    "five, F_0.9 for loss under noise": (MERIT, "angle", "macs", "naswot", "synflow"),
    "one of each kind, F_0.9 for loss under noise": (MERIT, "angle", "vkdnw", "macs"),
    "one of each kind, angle of all weights, F_0.9": (MERIT, FULL, "vkdnw", "macs"),
    "VKDNW's five, angle of all weights, F_0.9": (*VKDNW, FULL, MERIT),
    "all untrained, angle of all weights, F_0.9": (*UNTRAINED, FULL, MERIT),
    "F_0.9, loss under noise, angle of all weights": (MERIT, NOISY, FULL),
    "F_0.9, angle": (MERIT, "angle"),
    "flatness, angle": ("flatness", "angle"),
    "accuracy, angle": ("accuracy", "angle"),
}
"""Loss under noise at σ₂ = 2σ₁ orders as flatness at (σ₁, σ₂) with α = 1 does: F = σ₁/L(σ₂)."""

PLAIN: dict[str, Any] = {
    "combine": "sum",
    "noise_images": None,
    "options": {"angle": {"vector": "cells"}, "flatness": {"sigmas": [2e-3, 1e-2, 2e-2]}},
}
"""Settings of measures where a name has none of its own, whatever the presets say; σ as published."""


def settings(seed: int, work: Path, epochs: int = 70) -> Config:
    """One cell per stage at 16 × 16 pixels, a path per cell, 40,000 images."""
    layers: dict[str, Any] = {
        "seed": seed,
        "data": {"name": str(cifar10_npz(work / "data", 50_000)), "image_size": 16, "search_fraction": 0.2},
        "supernet": {
            "cells": 1,
            "epochs": epochs,
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


def supernet(seed: int, folder: Path, epochs: int, given: str | None) -> Path:
    """The run of a seed in `folder`, its supernet trained; `given` has `{seed}` in place of the seed."""
    if given is not None:
        return Path(given.format(seed=seed)).absolute()
    work, folder = folder.parent, folder / f"supernet-{seed}"
    if (folder / "manifest.json").exists():
        pipeline.resume(folder, last="supernet")
    else:
        pipeline.run(settings(seed, work, epochs), folder, last="supernet")
    return folder


def ranked(home: Path, out: Path, sample: int, measures: tuple[str, ...], **chosen: Any) -> dict[str, Any]:
    """Scores by measures of the supernet trained in `home`, and F_α from its accuracy and R."""
    request = RankingRequest(truth=TRUTH, measures=measures, sample=sample, resamples=200)
    # As the supernet was before `picked` changed the run's search.
    overlay = {"measure": PLAIN | chosen}
    document = _finished(out, request) or rank(request, out, [overlay], supernets=[home], monitor=Monitor())
    found = scored(document)
    for name in [name for name in found if name.startswith("robustness(") and "accuracy" in found]:
        for alpha in ALPHAS:
            called = name.replace("robustness(", f"flatnas(alpha={alpha:g}, ")
            for row, value in zip(document["genotypes"], merit(found, name, alpha).tolist(), strict=True):
                row["scores"][called] = value
    return document


def merit(scores: dict[str, Array], robustness: str, alpha: float) -> Array:
    """−F_α from accuracy and R."""
    wrong_N, moved_N = 100 * (1 - scores["accuracy"]), -scores[robustness]
    value_N: Array = -(alpha * wrong_N + wrong_N.mean() / moved_N.mean() * (1 - alpha) * moved_N)
    return value_N


def _finished(out: Path, request: RankingRequest) -> dict[str, Any] | None:
    """An earlier answer to the same request, also one of a version with fewer settings."""
    if not (out / "rank.json").exists():
        return None
    document: dict[str, Any] = json.loads((out / "rank.json").read_text())
    rows = document["genotypes"]
    return document if len(rows) == request.sample and set(rows[0]["scores"]) == set(request.measures) else None


def untrained(work: Path, sample: int) -> dict[str, Any]:
    """Measures that look at no supernet; the one of this run only lends its size, and is trained for some steps."""
    layers: dict[str, Any] = {
        "data": {"name": str(cifar10_npz(work / "data", 50_000)), "limit": 2000},
        "supernet": {"cells": 5, "epochs": 1},
        "measure": {"untrained_batch": 16},
        "compute": {"threads": 1},
    }
    out = work / "ranking" / "untrained"
    request = RankingRequest(truth=TRUTH, measures=UNTRAINED, sample=sample, resamples=200)
    return _finished(out, request) or rank(request, out, [layers], monitor=Monitor())


def scored(document: dict[str, Any]) -> dict[str, Array]:
    """Scores by measure, in the order of the sampled genotypes."""
    rows = document["genotypes"]
    return {name: np.array([row["scores"][name] for row in rows], dtype=np.float64) for name in rows[0]["scores"]}


def taus(documents: dict[int, dict[str, Any]], shared: dict[str, Any], column: str, size: int) -> dict[str, Any]:
    """τ-b of every measure and combination, per seed and over seeds; untrained measures are the same for all seeds.

    Under `together`: that of trained measures whose ranks are summed over all supernets; under `groups`: over each
    group of `size` supernets, in the order of the seeds.
    """
    found: dict[str, dict[str, list[float]]] = {"measures": {}, "rank sum": {}, "log-rank sum": {}}
    trained = [scored(document) for document in documents.values()]
    for document, own in zip(documents.values(), trained, strict=True):
        assert [row["genes"] for row in document["genotypes"]] == [row["genes"] for row in shared["genotypes"]]
        truth_N = np.array([row["truth"][column] for row in document["genotypes"]])
        scores = scored(shared) | own
        values = {"measures": scores}
        for kind, combine in (("rank sum", rank_sum), ("log-rank sum", log_rank_sum)):
            values[kind] = {
                name: combine([scores[part] for part in parts])
                for name, parts in COMBINATIONS.items()
                if set(parts) <= set(scores)
            }
        for kind, columns in values.items():
            for name, values_N in columns.items():
                found[kind].setdefault(name, []).append(float(kendalltau(values_N, truth_N).statistic))

    def summed(name: str, part: Sequence[dict[str, Array]]) -> float:
        return float(kendalltau(rank_sum([scores[name] for scores in part]), truth_N).statistic)

    groups = [trained[start : start + size] for start in range(0, len(trained) - size + 1, size)]
    per_group = {name: [summed(name, group) for group in groups] for name in trained[0]}
    return {
        kind: {name: {"per_seed": values} | interval(values) for name, values in rows.items()}
        for kind, rows in found.items()
    } | {
        "together": {name: summed(name, trained) for name in trained[0]},
        "groups": {name: {"per_group": values} | interval(values) for name, values in per_group.items()},
    }


def differences(taus: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Paired differences over seeds."""
    return {
        f"{first} - {second}": interval(
            [a - b for a, b in zip(taus[first]["per_seed"], taus[second]["per_seed"], strict=True)]
        )
        for first, second in combinations([name for name in names if name in taus], 2)
    }


def fitted(documents: dict[int, dict[str, Any]], shared: dict[str, Any], column: str) -> dict[str, Any]:
    """A bound, not a method: τ-b of a regression on the ranks by all measures, *fitted to the truth* of 9 in 10.

    Support vector regression, ten folds, mean over five ways to divide. What even this does not reach, no sum of these
    measures can be expected to.
    """
    truth_N = np.array([row["truth"][column] for row in shared["genotypes"]])
    found: dict[str, list[float]] = {"untrained": [], "untrained and trained": []}
    others = {name: values_N for name, values_N in scored(shared).items() if name != BRIEFLY}
    for document in documents.values():
        for kind, columns in (("untrained", others), ("untrained and trained", others | scored(document))):
            features_NM = np.stack([rankdata(values_N) for values_N in columns.values()], axis=1)
            model = make_pipeline(StandardScaler(), SVR(C=0.3, epsilon=0.05))
            folds = [KFold(10, shuffle=True, random_state=turn) for turn in range(5)]
            guesses = [
                cross_val_predict(model, features_NM, rankdata(truth_N) / len(truth_N), cv=fold) for fold in folds
            ]
            found[kind].append(float(np.mean([kendalltau(guess_N, truth_N).statistic for guess_N in guesses])))
    return {kind: {"per_seed": values} | interval(values) for kind, values in found.items()}


def within_limits(
    scores: dict[int, dict[str, Array]], truth: dict[str, Array], genotypes: Sequence[Genotype], against: str
) -> dict[str, Any]:
    """True errors of what each measure picks within a limit of parameters, less those of what `against` picks.

    Means over 500 random choices of a third of the genotypes; intervals over seeds. Limits are quantiles of all sizes.
    """
    space = spaces.get("nasbench201")
    size_N = np.array([space.cost(genotype, Shape(cells=5)).parameters for genotype in genotypes])
    found: dict[str, Any] = {}
    for quantile in (0.25, 0.5, 0.75, 1.0):
        limit = float(np.quantile(size_N, quantile))
        errors: dict[str, dict[str, list[float]]] = {}
        for seed, values in scores.items():
            rng = np.random.default_rng(seed)
            turns = [rng.permutation(len(size_N))[: len(size_N) // 3] for _ in range(500)]
            turns = [drawn[size_N[drawn] <= limit] for drawn in turns]
            for name, values_N in values.items():
                picks = [drawn[np.argmax(values_N[drawn])] for drawn in turns if len(drawn)]
                for column, accuracy_N in truth.items():
                    errors.setdefault(name, {}).setdefault(column, []).append(float(100 - accuracy_N[picks].mean()))
        found[f"{limit:.0f}"] = {
            name: {
                column: {
                    "error": interval(values),
                    f"minus {against}": interval([a - b for a, b in zip(values, errors[against][column], strict=True)]),
                }
                for column, values in columns.items()
            }
            for name, columns in errors.items()
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=70, help="of a supernet's training")
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--group", type=int, default=3, help="supernets whose ranks are summed")
    parser.add_argument("--part", choices=("supernet", "rank", "untrained", "search", "all"), default="all")
    parser.add_argument("--generations", type=int, default=12, help="of the search whose pick is looked up; 0: none")
    parser.add_argument("--trained", nargs="+", default=list(TRAINED), help="measures of the trained supernets")
    parser.add_argument("--images", type=int, default=500, help="search images for measures of the trained supernets")
    parser.add_argument("--draws", type=int, default=1, help="noise draws of these measures")
    parser.add_argument(
        "--calibration", type=int, default=512, help="training images for batch norms and training speed"
    )
    parser.add_argument("--work", type=Path, default=Path("runs"))
    parser.add_argument("--supernets", help="runs with trained supernets, with {seed} in place of the seed")
    parser.add_argument("--name", default="ranking", help="of the folder in --work and, if given, in the results' name")
    arguments = parser.parse_args()
    work = arguments.work.absolute()

    def home(seed: int) -> Path:
        return supernet(seed, work / arguments.name, arguments.epochs, arguments.supernets)

    def ranked_of(seed: int) -> dict[str, Any]:
        out = work / arguments.name / f"rank-{seed}"
        return ranked(
            home(seed),
            out,
            arguments.sample,
            tuple(arguments.trained),
            images=arguments.images,
            draws=arguments.draws,
            calibration_images=arguments.calibration,
        )

    with gzip.open(TRUTH, "rt") as stream:
        table = {row["arch"]: row for row in csv.DictReader(stream)}
    parts: dict[str, Callable[[int], Any]] = {
        "supernet": home,
        "rank": ranked_of,
        "search": lambda seed: picked(home(seed), table, arguments.generations),
    }
    if arguments.part == "untrained":
        untrained(work, arguments.sample)
    elif arguments.part != "all":
        for seed in arguments.seeds:
            found = parts[arguments.part](seed)
            print(arguments.part, seed, found if isinstance(found, Path) else "done", flush=True)
    if arguments.part != "all":
        return
    homes = {seed: home(seed) for seed in arguments.seeds}
    documents = {seed: ranked_of(seed) for seed in arguments.seeds}
    shared = untrained(work, arguments.sample)
    for row in shared["genotypes"]:
        row["scores"][BRIEFLY] = float(table[row["genotype"]][BRIEFLY])
    picks = {seed: picked(path, table, arguments.generations) for seed, path in homes.items() if arguments.generations}
    results: dict[str, Any] = {"benchmark": "ranking_study", "combinations": COMBINATIONS, "picked": picks, "tau": {}}
    for column in shared["truth"]["columns"]:
        found = taus(documents, shared, column, arguments.group)
        compared = differences(found["measures"], (STEADY, MERIT, LARGER, "flatness", "accuracy", "loss"))
        results["tau"][column] = found | {"differences": compared, "fitted": fitted(documents, shared, column)}
    rows = shared["genotypes"]
    if "accuracy" in arguments.trained:
        results["within_limits"] = within_limits(
            {seed: scored(shared) | scored(document) for seed, document in documents.items()},
            {column: np.array([row["truth"][column] for row in rows]) for column in shared["truth"]["columns"]},
            [Genotype("nasbench201", tuple(row["genes"])) for row in rows],
            "accuracy",
        )
    first = [*documents[arguments.seeds[0]]["measures"], *shared["measures"]]
    results["seconds_per_candidate"] = {row["name"]: row["seconds"] for row in first}
    results["true_accuracy_against_corruption"] = shared["references"]
    results["supernet_seconds"] = {seed: document["supernets"][0]["seconds"] for seed, document in documents.items()}
    told = ("sample", "group", "seeds", "epochs", "images", "draws", "calibration", "generations", "supernets")
    results["settings"] = {name: getattr(arguments, name) for name in told}
    suffix = "" if arguments.name == "ranking" else f"_{arguments.name}"
    save(RESULTS / f"ranking_study{suffix}.json", results, resolve(settings(arguments.seeds[0], work).compute))
    print(json.dumps({key: results[key] for key in ("picked", "tau")}, indent=1))


if __name__ == "__main__":
    main()
