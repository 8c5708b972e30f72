"""Which measure ranks best on a small supernet, and how should it be trained? Kendall's τ against NAS-Bench-201 truth.

Trains lowland's default supernet on the embedded images with given settings, scores random genotypes by several
measures and compares with their published CIFAR-10 accuracy (../shared/data): a proxy, since the images differ.

    python benchmarks/supernet_ranking.py --name default
    python benchmarks/supernet_ranking.py --name published-rate --set supernet.learning_rate=0.025 …
"""

from __future__ import annotations

import argparse
import csv
import gzip
import math
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, rankdata

from common import RESULTS, SHARED, read, save
from lowland import measures
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.core.settings import assignment
from lowland.measures import calibrated_subnet
from lowland.measures.noise.flatness import flatness_value
from lowland.store.run import Run
from lowland.workflow import pipeline, presets
from lowland.workflow.session import Session

SIGMAS = (2e-3, 1e-2, 2e-2)


def truth() -> dict[str, tuple[float, float]]:
    with gzip.open(SHARED / "nas" / "nasbench201_cifar10.csv.gz", "rt") as stream:
        return {row["arch"]: (float(row["test_acc"]), float(row["corrupt_mean"])) for row in csv.DictReader(stream)}


def scores(session: Session, genotypes: list[Genotype]) -> dict[str, np.ndarray]:
    config, found = session.config.measure, {}
    for part in ("cells", "cells+fixed"):
        angle = measures.get(config.model_copy(update={"name": f"angle(vector={part})"}))
        values = [angle.score(session.supernet, g, session.context).value for g in genotypes]
        found[f"angle, {part}"] = np.asarray(values)
    rows = []
    for genotype in genotypes:
        with calibrated_subnet(session.supernet, genotype, session.context, config) as path:
            losses = [path.loss_at(sigma, 0).loss for sigma in SIGMAS]
            rows.append((path.clean.accuracy, -path.clean.loss, flatness_value(losses, SIGMAS, 1.0)))
    found |= {
        name: np.asarray(column)
        for name, column in zip(("accuracy", "loss", "flatness"), zip(*rows, strict=True), strict=True)
    }
    found["parameters"] = np.asarray([session.cost(genotype).parameters for genotype in genotypes])
    for gamma in (0.1, 0.5, 1.5, 6.0, 16.0):
        total = found["angle, cells"] / math.pi + gamma / SIGMAS[0] * found["flatness"]
        found[f"angle (cells) + flatness, gamma {gamma:g}"] = total
    found["rank sum of angle (cells) and flatness"] = rankdata(found["angle, cells"]) + rankdata(found["flatness"])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--genotypes", type=int, default=80)
    parser.add_argument("--set", action="append", default=[], dest="settings")
    parser.add_argument("--work", type=Path, default=Path("runs") / "supernet_ranking")
    arguments = parser.parse_args()
    config = presets.assemble({"seed": arguments.seed}, *[assignment(text) for text in arguments.settings])
    folder = arguments.work / f"{arguments.name}-{arguments.seed}"
    if (folder / "manifest.json").exists():
        pipeline.resume(folder, last="supernet")
    else:
        pipeline.run(config, folder, last="supernet")
    table = truth()
    with Run.open(folder, read_only=True) as run:
        session = Session(run, Monitor())
        found: dict[str, Genotype] = {}
        attempt = 0
        while len(found) < arguments.genotypes:
            genotype = session.space.sample(numpy_rng(7, attempt))
            found.setdefault(session.space.key(genotype), genotype)
            attempt += 1
        genotypes = list(found.values())
        true = np.asarray([table[session.space.format(genotype)] for genotype in genotypes])
        taus = {
            name: {
                "tau": float(kendalltau(values, true[:, 0])[0]),
                "tau_corrupted": float(kendalltau(values, true[:, 1])[0]),
                "true_accuracy_of_best": float(true[int(np.argmax(values)), 0]),
            }
            for name, values in scores(session, genotypes).items()
        }
        path = RESULTS / "supernet_ranking.json"
        results = read(path) or {"benchmark": "supernet_ranking", "runs": {}}
        results["runs"][f"{arguments.name}, seed {arguments.seed}"] = {
            "settings": arguments.settings,
            "genotypes": arguments.genotypes,
            "supernet_seconds": run.manifest["stages"]["supernet"]["seconds"],
            "measures": taus,
        }
        save(path, results, session.compute)
    for name, figures in taus.items():
        print(f"{name:45s} tau {figures['tau']:.3f}  corrupted {figures['tau_corrupted']:.3f}")


if __name__ == "__main__":
    main()
