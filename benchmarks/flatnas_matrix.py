"""FlatNAS's experiment: does searching for robustness to weight noise give networks that hold up under corruption?

For every seed one supernet is trained; every arm searches with it under the same limit of parameters, delivers the knee
of its front (or the best within the limit, `--pick best`), trains it on from the supernet's weights and judges it on
test images, clean and corrupted, which nothing before has seen. Arms: `accuracy` (objectives error and parameters,
SGD), `accuracy, SAM retraining` (the network that this finds, retrained with adaptive SAM), `flatnas 0.1`, `0.5`, `0.9`
(F_α and parameters, adaptive SAM throughout). A SAM step costs two SGD steps, so a search with SGD fine-tunes each
candidate for twice as many epochs; retraining takes equally many epochs in all arms, unless told otherwise. What two
arms both score is scored once, and counted in the `scoring_seconds` of both. The unit of an interval is the seed. Every
arm of every seed is a run that resumes; seeds and arms can run separately.

    python benchmarks/flatnas_matrix.py --seeds 0 1 2
    python benchmarks/flatnas_matrix.py --seeds 0 --arms "flatnas 0.5" --sigma 0.1 --name sigma-0.1
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import RESULTS, cifar10_npz, interval, read, save
from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.genotype import Genotype
from lowland.search import Archive
from lowland.store.artifacts import evaluated
from lowland.store.run import ARCHIVE, Run
from lowland.workflow import pipeline, presets

ARMS = ("accuracy", "accuracy, SAM retraining", "flatnas 0.1", "flatnas 0.5", "flatnas 0.9")
ASAM = {"optimizer": "sgd+asam"}
SGD = {"optimizer": "sgd", "sam_rho": None}
FIGURES = ("top1", "mean_corruption_error", "parameters")


def base(seed: int, work: Path, arguments: argparse.Namespace) -> Config:
    """The run of which every arm is a copy: its supernet, which all settings share."""
    layers: dict[str, Any] = {
        "seed": seed,
        "preset": "flatnas",
        "space": arguments.space,
        "data": {
            "name": arguments.data or str(cifar10_npz(work / "data", arguments.images, arguments.test)),
            "search_fraction": arguments.search_fraction,
        },
        "supernet": {"epochs": arguments.supernet_epochs},
        "search": {
            "options": {"pareto": {"initial": arguments.initial, "iterations": arguments.iterations}},
            "workers": 1,
        },
        "compute": {"threads": 1},
    }
    return presets.assemble(layers)


def changes(arm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """What an arm of a setting does differently from the run it is a copy of."""
    tuned: dict[str, Any] = ASAM | {"epochs": arguments.finetune_epochs, "sam_rho": arguments.rho}
    retrained: dict[str, Any] = ASAM | {"epochs": arguments.retrain_epochs, "sam_rho": arguments.rho}
    if arm.startswith("flatnas"):
        objective = f"flatnas(alpha={arm.split()[1]})"
    else:
        objective = "error"
        tuned = SGD | {"epochs": 2 * arguments.finetune_epochs}
        if arm == "accuracy":
            retrained = SGD | {"epochs": arguments.sgd_retrain_epochs}
    return {
        "measure": {
            "options": {"robustness": {"sigma": arguments.sigma, "draws": arguments.draws}},
            "images": arguments.score_images,
        },
        "finetune": tuned,
        "search": {
            "options": {"pareto": {"objectives": [objective, "params"], "pick": arguments.pick}},
            "max_params": arguments.max_params,
        },
        "retrain": retrained,
    }


def folder_of(arm: str) -> str:
    return arm.replace(", ", "-").replace(" ", "-")


def scoring_seconds(folder: Path, genes: Sequence[Sequence[int]]) -> float:
    """What the candidates of a search took to fine-tune and score, also those whose scores another arm lent."""
    with Run.open(folder, read_only=True) as run, Archive(run.path / ARCHIVE, read_only=True) as archive:
        space, measure = spaces.get(run.config.space), run.read_json("search.json")["measure"]
        keys = {space.key(Genotype(space.name, tuple(each))) for each in genes}
        return sum(found.seconds for key in keys if (found := archive.get(measure, key)) is not None)


def judged(folder: Path) -> dict[str, Any]:
    with Run.open(folder, read_only=True) as run:
        records = {record.suite: record.results.get("networks", {}).get("1") for record in evaluated(run)}
        evaluation = {"test": records["classification"], "shift": records["corruptions"]}
        found = run.read_json("search.json")
        seconds = {name: stage["seconds"] for name, stage in run.manifest["stages"].items() if "seconds" in stage}
    best = found["ranking"][0]
    return {
        "genotype": best["genotype"],
        "parameters": best["parameters"],
        "top1": evaluation["test"]["top1"],
        "top1_standard_error": evaluation["test"]["top1_standard_error"],
        "mean_corruption_error": evaluation["shift"]["mean_corruption_error"],
        "corruption_errors": evaluation["shift"]["corruption_errors"],
        "hypervolume": found["pareto"]["iterations"][-1]["hypervolume"],
        "surrogates": found["pareto"]["iterations"][-1]["surrogates"],
        "candidates": found["summary"]["proposed"],
        "scoring_seconds": scoring_seconds(folder, [each["genes"] for each in found["pareto"]["candidates"]]),
        "seconds": seconds,
    }


def summary(seeds: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Mean over seeds of every arm, and its differences, paired by seed, to the two arms of the accuracy-only search.

    Against that search's network retrained with SAM, only the architecture differs.
    """
    result: dict[str, Any] = {}
    for arm in ARMS:
        rows = [found for found in seeds.values() if arm in found]
        if not rows:
            continue
        result[arm] = {figure: interval([row[arm][figure] for row in rows]) for figure in FIGURES}
        for other in ARMS[: min(ARMS.index(arm), 2)]:
            paired = [row for row in rows if other in row]
            if paired:
                result[arm][f"minus {other}"] = {
                    figure: interval([row[arm][figure] - row[other][figure] for row in paired]) for figure in FIGURES
                }
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS)
    parser.add_argument("--name", default="default", help="of this setting, in the results")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--test", type=int, default=2000)
    parser.add_argument("--supernet-epochs", type=int, default=16)
    parser.add_argument("--finetune-epochs", type=int, default=1)
    parser.add_argument("--retrain-epochs", type=int, default=12)
    parser.add_argument("--sgd-retrain-epochs", type=int, default=12, help="of the arm without SAM")
    parser.add_argument("--initial", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--max-params", type=int, default=400_000)
    parser.add_argument("--search-fraction", type=float, default=0.2)
    parser.add_argument("--pick", choices=("knee", "best"), default="knee", help="network of the front to deliver")
    parser.add_argument("--sigma", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--score-images", type=int, default=500)
    parser.add_argument("--rho", type=float, default=0.5)
    parser.add_argument("--data", help="data set, folder or .npz file [default: the first --images of CIFAR-10]")
    parser.add_argument("--space", choices=("mobilenetv3-small", "mobilenetv3"), default="mobilenetv3-small")
    parser.add_argument("--out", type=Path, default=RESULTS / "flatnas_matrix.json")
    parser.add_argument("--work", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    path = arguments.out
    for seed in arguments.seeds:
        config = base(seed, work, arguments)
        supernet = f"supernet-{arguments.images}-{arguments.supernet_epochs}"
        if arguments.data:
            supernet += f"-{Path(arguments.data).stem}"
        if arguments.space != parser.get_default("space"):
            supernet += f"-{arguments.space}"
        if arguments.search_fraction != parser.get_default("search_fraction"):
            supernet += f"-{arguments.search_fraction:g}"
        trained = work / "flatnas_matrix" / supernet / str(seed)
        home = work / "flatnas_matrix" / arguments.name / str(seed)
        if (trained / "manifest.json").exists():
            pipeline.resume(trained, last="supernet")
        else:
            pipeline.run(config, trained, last="supernet")
        for arm in arguments.arms:
            folder = home / folder_of(arm)
            if not folder.exists():
                # The network that the first arm found, and the scores of the first α, where they are there already.
                found = home / folder_of(ARMS[0] if arm == ARMS[1] else ARMS[2])
                source = found if arm != ARMS[0] and (found / "search.json").exists() else trained
                folder.parent.mkdir(parents=True, exist_ok=True)
                copy = folder.with_name(f".{folder.name}.tmp")
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(source, copy)
                copy.rename(folder)
            pipeline.resume(folder, last="evaluate", changes=[changes(arm, arguments)])
            results = read(path) or {"benchmark": "flatnas_matrix", "settings": {}}
            entry = results["settings"].setdefault(arguments.name, {"seeds": {}})
            entry["arguments"] = {
                k: v for k, v in vars(arguments).items() if k not in ("work", "seeds", "arms", "name", "out")
            }
            entry["seeds"].setdefault(str(seed), {})[arm] = judged(folder)
            entry["summary"] = summary(entry["seeds"])
            save(path, results, resolve(config.compute))
            row = entry["seeds"][str(seed)][arm]
            print(f"seed {seed} {arm:26s} " + "  ".join(f"{f} {row[f]:.2f}" for f in FIGURES), flush=True)


if __name__ == "__main__":
    main()
