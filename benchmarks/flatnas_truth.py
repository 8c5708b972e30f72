"""Where does FlatNAS's claim hold? Fine-tuned candidates against their published accuracy under corruption.

NAS-Bench-201 candidates are fine-tuned with and without SAM, R is taken at several σ and numbers of draws, and all is
held against what full training made of them: the published accuracy, clean and under corruption.

Every supernet's sampled genotypes are fine-tuned by recipes of equal cost (a SAM step counts as two steps of SGD), then
judged on held-out images, clean and under relative weight noise. The accuracy-only search judges what SGD fine-tuned by
its accuracy; FlatNAS what SAM fine-tuned by F_α, with k over the sample. Differences are paired by supernet.

    python benchmarks/flatnas_truth.py --supernets "runs/supernet_study/8/a-path-per-cell/{seed}/run" --seeds 0 1 2

What a genotype gave is kept in --work, so that the same command goes on where it stopped.

Array names: G genotypes, D draws.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import kendalltau

from common import RESULTS, interval, save
from lowland.core.files import write_json
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.settings import merge
from lowland.data import Split
from lowland.data.splits import Subset
from lowland.evaluation.ranking.truth import read_truth
from lowland.measures import calibrated_subnet
from lowland.measures.noise.draws import outcomes_under_noise
from lowland.store.artifacts import supernet_digest
from lowland.store.run import Run
from lowland.training.finetune import finetuned
from lowland.workflow.presets import assemble
from lowland.workflow.scoring import single_thread
from lowland.workflow.session import Session
from ranking_study import TRUTH, within_limits

Array = NDArray[np.float64]

RECIPES: dict[str, dict[str, Any]] = {
    "inherited": {"epochs": 0},
    "SGD, 2 epochs": {"epochs": 2, "optimizer": "sgd", "sam_rho": None},
    "ASAM 0.5, 1 epoch": {"epochs": 1, "optimizer": "sgd+asam", "sam_rho": 0.5},
    "SGD, 4 epochs": {"epochs": 4, "optimizer": "sgd", "sam_rho": None},
    "ASAM 0.5, 2 epochs": {"epochs": 2, "optimizer": "sgd+asam", "sam_rho": 0.5},
    "ASAM 2, 1 epoch": {"epochs": 1, "optimizer": "sgd+asam", "sam_rho": 2.0},
}
"""How candidates are fine-tuned; epochs are of `--images` training images."""

PLAIN = {
    "inherited": "inherited",
    "ASAM 0.5, 1 epoch": "SGD, 2 epochs",
    "ASAM 2, 1 epoch": "SGD, 2 epochs",
    "ASAM 0.5, 2 epochs": "SGD, 4 epochs",
}
"""The accuracy-only search of equal cost."""

SIGMAS = (0.05, 0.2)
ALPHAS = (0.1, 0.5, 0.9)


def judged(session: Session, genotype: Genotype, recipe: str, train: Split, draws: int) -> dict[str, Any]:
    """Accuracies in percent of one fine-tuned candidate: clean, and, where R is asked for, of every draw at every σ."""
    config = session.config.model_copy(update={"finetune": session.config.finetune.model_copy(update=RECIPES[recipe])})
    data = replace(session.data, train=train)
    network = finetuned(session.supernet, genotype, config, data, session.compute)
    with calibrated_subnet(network, genotype, session.context, config.measure) as path:
        noisy = {
            f"{sigma:g}": [
                100 * signed[0].accuracy
                for signed in outcomes_under_noise(path, config.measure, sigma, draws, relative=True)
            ]
            for sigma in (SIGMAS if recipe in PLAIN else ())
        }
        return {"clean": 100 * path.clean.accuracy, "noisy": noisy}


def measured(home: Path, arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], list[int]]:
    """Everything about every sampled genotype under one supernet, and their places in the table."""
    with Run.open(home, read_only=True) as run:
        changed = {"measure": {"images": arguments.score_images, "antithetic": False}}
        run.config = assemble(merge(run.config.model_dump(mode="json"), changed))
        session = Session(run, Monitor())
        truth = read_truth(TRUTH, session.space)
        chosen = [int(place) for place in truth.sample(300, 0)[: arguments.sample]]
        weights = supernet_digest(run)
        folder = arguments.work / f"{weights[:16]}-{arguments.images}-{arguments.score_images}-{arguments.draws}"
        folder.mkdir(parents=True, exist_ok=True)
        train = Subset(session.data.train, torch.arange(arguments.images))
        rows = []
        with single_thread():
            for number, place in enumerate(chosen):
                genotype = truth.genotypes[place]
                row: dict[str, Any] = {"genes": list(genotype.genes)}
                for recipe in arguments.recipes:
                    path = folder / f"{place}-{list(RECIPES).index(recipe)}.json"
                    if not path.exists():
                        write_json(path, judged(session, genotype, recipe, train, arguments.draws))
                    row[recipe] = json.loads(path.read_text())
                rows.append(row)
                print(f"{home}: {number + 1} of {len(chosen)}", flush=True)
    return rows, chosen


def scores(rows: list[dict[str, Any]], recipes: list[str], draws: int) -> dict[str, Array]:
    """Every judgement of every genotype (G), greater is better."""
    found: dict[str, Array] = {}
    for recipe in recipes:
        clean_G = np.array([row[recipe]["clean"] for row in rows])
        found[f"{recipe}: accuracy"] = clean_G
        if recipe not in PLAIN:
            continue
        for sigma in SIGMAS:
            noisy_GD = np.array([row[recipe]["noisy"][f"{sigma:g}"] for row in rows])
            for number in sorted({1, draws // 2, draws}):
                moved_G = np.abs(clean_G[:, None] - noisy_GD[:, :number]).mean(axis=1)
                label = f"{recipe}: σ={sigma:g}, M={number}"
                found[f"{label}: R"] = -moved_G
                k = float((100 - clean_G).mean() / moved_G.mean())
                for alpha in ALPHAS:
                    found[f"{label}: F_{alpha:g}"] = -(alpha * (100 - clean_G) + k * (1 - alpha) * moved_G)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernets", required=True, help="runs with trained supernets, {seed} for the seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--images", type=int, default=2560, help="training images of an epoch of fine-tuning")
    parser.add_argument("--score-images", type=int, default=500)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--work", type=Path, default=Path("runs") / "flatnas_truth")
    arguments = parser.parse_args()
    found: dict[int, dict[str, Array]] = {}
    for seed in arguments.seeds:
        home = Path(arguments.supernets.format(seed=seed))
        rows, chosen = measured(home, arguments)
        found[seed] = scores(rows, arguments.recipes, arguments.draws)
    with Run.open(home, read_only=True) as run:
        session = Session(run, Monitor())
        truth = read_truth(TRUTH, session.space)
        columns = {name: values_N[chosen] for name, values_N in truth.columns.items()}
        results: dict[str, Any] = {
            "benchmark": "flatnas_truth",
            "settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(arguments).items() if k != "work"},
            "tau": {},
            "within_limits": {},
        }
        genotypes = [Genotype("nasbench201", tuple(row["genes"])) for row in rows]
        for recipe in (each for each in arguments.recipes if each in PLAIN and PLAIN[each] in arguments.recipes):
            against = f"{PLAIN[recipe]}: accuracy"
            names = [name for name in found[seed] if name.startswith(f"{recipe}:") or name == against]
            for column, truth_G in columns.items():
                taus = {
                    name: [float(kendalltau(each[name], truth_G).statistic) for each in found.values()]
                    for name in names
                }
                results["tau"].setdefault(recipe, {})[column] = {
                    name: interval(values)
                    | {f"minus {against}": interval([a - b for a, b in zip(values, taus[against], strict=True)])}
                    for name, values in taus.items()
                }
            part = {seed: {name: each[name] for name in names} for seed, each in found.items()}
            results["within_limits"][recipe] = within_limits(part, columns, genotypes, against)
        save(RESULTS / "flatnas_truth.json", results, session.compute)
    for by_column in results["tau"].values():
        for name, facts in by_column["corrupt_mean"].items():
            print(f"{name:44s} tau {facts['mean']:.3f}")


if __name__ == "__main__":
    main()
