"""Is the found network better than chance? The winner against random genotypes of at most its size, trained alike.

For every seed: search with lowland's defaults, then train the winner and 8 uniform random genotypes with at most the
winner's parameters, all with the same recipe, and compare top-1 accuracy on the test images, which nothing has seen.
The unit of the interval is the seed. Stopped and started again, it goes on where it was; seeds can run separately.

    python benchmarks/winner_vs_random.py --data embedded --seeds 0 1 2
    python benchmarks/winner_vs_random.py --data cifar10 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, cifar10_npz, interval, read, save
from lowland.core.config import Config
from lowland.core.device import Compute, resolve
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import numpy_rng
from lowland.data import DataSet, Generated
from lowland.evaluation.classification import classification, predict
from lowland.evaluation.shift.corruptions import corruption_accuracy
from lowland.evaluation.shift.suite import corruption_names
from lowland.store.run import Run
from lowland.training import network as network_training
from lowland.training.loop import fit
from lowland.workflow import pipeline, presets
from lowland.workflow.session import Session

RANDOM = 8


def settings(name: str, seed: int, work: Path, arguments: argparse.Namespace) -> Config:
    data: dict[str, Any] = {}
    if name == "cifar10":
        data = {"name": str(cifar10_npz(work, 10_000))}
    extra = {
        "retrain": {"optimizer": "sgd", "epochs": arguments.epochs},
        "supernet": {"epochs": arguments.supernet_epochs},
    }
    return presets.assemble({"seed": seed, "data": data, "measure": {"name": arguments.measure, "images": 1000}}, extra)


def train(genotype: Genotype, session: Session, corruption_images: int) -> dict[str, Any]:
    config, data, compute = session.config, session.data, session.compute
    body = network_training.build(genotype, session.network_shape(genotype), config.retrain, config.seed)
    body = compute.prepare(body)
    fit(network_training.job(genotype, body, config.retrain, data, compute, config.seed))
    cost = session.cost(genotype)
    return {
        "genotype": session.space.format(genotype),
        "parameters": cost.parameters,
        "macs": cost.macs,
        **judge(body, data, compute, config, corruption_images),
    }


def judge(body: Any, data: DataSet, compute: Compute, config: Config, corruption_images: int) -> dict[str, Any]:
    logits_NK, labels_N = predict(body, data.test, data.normalise, compute, 500)
    found = {"top1": classification(logits_NK, labels_N)["top1"]}
    if corruption_images:
        names = corruption_names("all")
        shift = corruption_accuracy(
            {"network": body},
            Generated(data, config.seed),
            data.normalise,
            compute,
            names=names,
            severities=(1, 3, 5),
            limit=corruption_images,
            batch_size=500,
        )
        found["corrupted"] = shift["network"]["mean"]
    return found


def random_genotypes(session: Session, most: int, winner: str) -> list[Genotype]:
    space, found = session.space, {}
    attempt = 0
    while len(found) < RANDOM:
        genotype = space.sample(numpy_rng(session.config.seed, "winner vs random", attempt))
        attempt += 1
        if session.cost(genotype).parameters <= most and space.key(genotype) != winner:
            found.setdefault(space.key(genotype), genotype)
    return list(found.values())


def one_seed(name: str, seed: int, arguments: argparse.Namespace, path: Path, results: dict[str, Any]) -> None:
    config = settings(name, seed, arguments.work, arguments)
    folder = arguments.work / f"{name}-{arguments.measure}-{seed}"
    if (folder / "manifest.json").exists():
        pipeline.resume(folder, last="search")
    else:
        pipeline.run(config, folder, last="search")
    with Run.open(folder, read_only=True) as run:
        session = Session(run, Monitor())
        winner = Genotype(config.space, session.ranking()[0].genes)
        others = random_genotypes(session, session.cost(winner).parameters, session.space.key(winner))
        stages = {stage: run.manifest["stages"][stage]["seconds"] for stage in ("supernet", "search")}
        record = results["seeds"].setdefault(str(seed), {"stages": stages, "networks": {}})
        for label, genotype in [("winner", winner)] + [(f"random {i}", g) for i, g in enumerate(others)]:
            if label in record["networks"]:
                continue
            record["networks"][label] = train(genotype, session, arguments.corruption_images)
            save(path, results, session.compute)
            print(name, "seed", seed, label, record["networks"][label], flush=True)


def summarise(results: dict[str, Any]) -> None:
    for figure in ("top1", "corrupted"):
        differences, medians, beaten = [], [], []
        for record in results["seeds"].values():
            networks = record["networks"]
            if len(networks) < RANDOM + 1 or figure not in networks["winner"]:
                continue
            others = [networks[f"random {i}"][figure] for i in range(RANDOM)]
            differences.append(networks["winner"][figure] - float(np.mean(others)))
            medians.append(networks["winner"][figure] - float(np.median(others)))
            beaten.append(sum(networks["winner"][figure] > other for other in others) / RANDOM)
        if differences:
            results[f"{figure} difference, percentage points"] = interval(differences)
            # A genotype without a live edge stays at chance and weighs heavily in a mean.
            results[f"{figure} difference from the median, percentage points"] = interval(medians)
            results[f"{figure} share of random genotypes beaten"] = float(np.mean(beaten))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("embedded", "cifar10"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=10, help="retraining epochs of every network")
    parser.add_argument("--supernet-epochs", type=int, default=20)
    parser.add_argument("--measure", default=Config().measure.name)
    parser.add_argument("--corruption-images", type=int, default=500)
    parser.add_argument("--work", type=Path, default=Path("runs") / "winner_vs_random")
    arguments = parser.parse_args()
    path = RESULTS / f"winner_vs_random_{arguments.data}_{arguments.measure}.json"
    asked = {
        "retrain_epochs": arguments.epochs,
        "supernet_epochs": arguments.supernet_epochs,
        "measure": arguments.measure,
        "random": RANDOM,
        "corruption_images": arguments.corruption_images,
    }
    results = read(path) or {"benchmark": "winner_vs_random", "data": arguments.data, "settings": asked, "seeds": {}}
    if results["settings"] != asked:
        sys.exit(f"{path} holds results of other settings {results['settings']}; move it away first")
    for seed in arguments.seeds:
        one_seed(arguments.data, seed, arguments, path, results)
    summarise(results)
    save(path, results, resolve(Config().compute))
    print({key: value for key, value in results.items() if "difference" in key or "share" in key})


if __name__ == "__main__":
    main()
