"""Is the delivered network better than what anyone would write by hand, at equal size, and than a random search?

For every data set, budget of parameters and seed: `lowland run` (to the delivered network), `lowland compare` with
networks written by hand (same recipe, same seed, equal parameters, at most equal MACs), and a random search that has
the same time: random designs, of which as many begin their training as take the seconds that the winner's supernet,
search and rungs took (`--random-designs`: a fixed number, for a machine that is busy now and then). All are judged on
test images that nothing else has seen, clean and under corruption. The best reference of a cell is the one of the best
mean over seeds, which favours it. A stopped benchmark goes on.

    python benchmarks/winner_vs_references.py --data embedded --params 0.1M 0.3M --seeds 10 11
    python benchmarks/winner_vs_references.py --report

Chosen on CIFAR-10 and the embedded data with other seeds (0 to 9); Imagenette and digits are only reported.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, SHARED, cifar10_npz, development_loader, interval, read, save, save_arrays
from lowland.core.config import ComputeConfig
from lowland.core.device import environment, resolve
from lowland.core.settings import count, merge
from lowland.data import load
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.compare import ComparisonRequest, compare
from lowland.workflow.presets import assemble, complete
from lowland.workflow.rungs import extra_steps, total_steps

RESULT = RESULTS / "winner_vs_references.json"
JUDGED = 1000
"""Test images under corruption."""

REFERENCES = ("resnet-cell", "all-conv3x3", "mobilenetv3")
SAME_NORM = "resnet-cell"
"""Also with the delivered network's norm (`@NORM`), which it takes from the preset: tells what the norm alone gains."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["embedded", "cifar10", "imagenette"], help="or paths")
    parser.add_argument("--params", nargs="+", default=["0.1M", "0.3M", "1.0M"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[10, 11, 12, 13, 14])
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "lowland-winner")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as `lowland run`; kept apart")
    parser.add_argument("--random-designs", type=int, help="designs of the random search; default: by time")
    parser.add_argument("--no-random", action="store_true", help="leave the random search out")
    parser.add_argument("--report", action="store_true", help="print the table and measure nothing")
    arguments = parser.parse_args()
    if not arguments.report:
        for seed in arguments.seeds:
            for data in arguments.data:
                for params in arguments.params:
                    cell(data, params, seed, arguments)
    report()


def cell(data: str, params: str, seed: int, arguments: argparse.Namespace) -> None:
    """One data set, budget and seed, unless it is known."""
    variant = " ".join(arguments.set)
    key = f"{data}/{params}/{seed}" + (f"/{variant}" if variant else "")
    results = read(RESULT) or {"benchmark": "winner_vs_references", "cells": {}}
    known = results["cells"].get(key, {})
    if "winner" in known and ("random" in known or arguments.no_random):
        return
    settings = assemble_settings(data, params, seed, arguments)
    home = arguments.home / key.replace("/", "-").replace(" ", "-")
    winner = carried(home / "winner", settings)
    same_norm = f"{SAME_NORM}@{complete(assemble(settings)).network.norm}"
    document = compare(winner, home / "compare", ComparisonRequest(references=(*REFERENCES, same_norm), seeds=1))
    rows = {row["name"]: figures(row) for row in document["networks"]}
    name = document["networks"][0]["name"]
    found: dict[str, Any] = {
        "winner": rows.pop(name) | described(winner),
        "same_norm": rows.pop(same_norm),
        "references": rows,
        "seconds": seconds(winner),
        "environment": environment(resolve(ComputeConfig())),
    }
    if not arguments.no_random:
        others = merge(settings, random_search(winner, settings, arguments.random_designs))
        drawn = carried(home / "random", others, last="evaluate")
        found["random"] = evaluated(drawn) | described(drawn)
        found["random_seconds"] = seconds(drawn)
    results = merge(read(RESULT) or results, {"cells": {key: found}, "judged_under_corruption": JUDGED})
    save(RESULT, results, resolve(ComputeConfig()))
    print(key, json.dumps(found), flush=True)


def assemble_settings(data: str, params: str, seed: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings of one run: the default preset's, with a budget of parameters."""
    from lowland.core.settings import assignment

    settings: dict[str, Any] = {
        "seed": seed,
        "data": source(data),
        "search": {"max_params": count("--params", params)},
        "evaluate": {
            "suites": ["classification", "corruptions"],
            "options": {"corruptions": {"images": JUDGED}},
        },
    }
    for text in arguments.set:
        settings = merge(settings, assignment(text))
    return settings


def source(name: str) -> dict[str, Any]:
    """The setting `data` of a data set."""
    cache = Path(tempfile.gettempdir()) / "lowland-benchmarks"
    if name == "embedded":
        return {"name": "fashion-mnist-6k"}
    if name == "cifar10":
        return {"name": str(cifar10_npz(cache, 10_000, 2_000))}
    if name == "imagenette":
        return {"name": str(imagenette(cache)), "image_size": 48}
    return {"name": name}


def imagenette(folder: Path) -> Path:
    """Imagenette at 64 pixels as an .npz file."""
    path = folder / "imagenette64.npz"
    if not path.exists():
        module = development_loader()
        arrays: dict[str, Any] = {}
        for ours, theirs in (("train", "train"), ("test", "val")):
            images, labels = module.sheets(SHARED / "images" / "imagenette64.zip", theirs, 64)
            arrays |= {f"x_{ours}": images, f"y_{ours}": labels.astype(np.int64)}
        save_arrays(path, arrays)
    return path


def carried(path: Path, settings: dict[str, Any], last: str = "train") -> Path:
    """A run to its delivered network, gone on with where it was stopped; never one of other settings."""
    if (path / "manifest.json").exists():
        wanted = complete(assemble(settings))
        with Run.open(path, read_only=True) as run:
            kept = run.config
        for name in ("search", "measure", "network", "retrain", "supernet"):
            if getattr(kept, name) != getattr(wanted, name):
                raise SystemExit(f"{path} was made with other settings of {name}; give another --home")
        pipeline.resume(path, last=last)
    else:
        pipeline.run(assemble(settings), path, last=last)
    return path


def evaluated(path: Path) -> dict[str, Any]:
    """The figures of a delivered network that its own run judged."""
    clean, shifted = (
        json.loads((path / "evaluation" / f"{suite}.json").read_text())["results"]["networks"]["1"]
        for suite in ("classification", "corruptions")
    )
    return {"top1": clean["top1"], "corrupted": shifted["mean"]}


def random_search(winner: Path, settings: dict[str, Any], finalists: int | None) -> dict[str, Any]:
    """Settings of a random search of so many designs; None: that takes as long as the winner's search did."""
    finalists = finalists or as_long(winner, settings)
    own = {"random-designs": {"number": finalists}}
    return {"search": {"searcher": "random-designs", "finalists": finalists, "hand_written": False, "options": own}}


def as_long(winner: Path, settings: dict[str, Any]) -> int:
    """How many random designs take as long as the winner's supernet, search and rungs did; at least 2."""
    config = assemble(settings)
    data = load(config.data, seed=config.seed)
    spent = seconds(winner)
    with Run.open(winner, read_only=True) as run:
        first = run.read_json("search.json")["ranking"][0]["finalist"]["rungs"][-1]["steps"]
    step = spent["train"] / (total_steps(config, data) - first)
    finalists = 2
    while extra_steps(config, data, finalists + 1) * step <= spent["supernet"] + spent["search"]:
        finalists += 1
    return finalists


def seconds(path: Path) -> dict[str, float]:
    """Wall time of every stage."""
    stages = json.loads((path / "manifest.json").read_text())["stages"]
    return {name: round(stage["seconds"], 1) for name, stage in stages.items()}


def described(path: Path) -> dict[str, Any]:
    """What a run delivered."""
    first = json.loads((path / "search.json").read_text())["ranking"][0]
    return {"genotype": first["genotype"], "shape": first["shape"], "by_hand": (first["finalist"] or {}).get("name")}


def figures(row: dict[str, Any]) -> dict[str, Any]:
    """A network's figures in one comparison."""
    own = row["seeds"][0]
    size = {name: row[name] for name in ("parameters", "macs", "channels", "cells")}
    return {"top1": own["top1"], "corrupted": own["corrupted"], **size}


def report() -> None:
    """Print differences, in points, with 95 % t-intervals over seeds of each cell and over all cells of the default."""
    cells = (read(RESULT) or {"cells": {}})["cells"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for key, found in cells.items():
        data, params, _, *variant = key.split("/")
        groups.setdefault("/".join([data, params, *variant]), []).append(found)
    means: dict[str, list[float]] = {}
    for name, rows in groups.items():
        print(f"{name} (n = {len(rows)} seeds)")
        kept = means if name.count("/") == 1 else {}
        shared = set.intersection(*(set(row["references"]) for row in rows))
        for figure in ("top1", "corrupted"):
            if shared:
                best = max(shared, key=lambda each: np.mean([row["references"][each][figure] for row in rows]))
                told = [row["winner"][figure] - row["references"][best][figure] for row in rows]
                kept.setdefault(f"{figure} over the best reference", []).append(float(np.mean(told)))
                print(f"  {figure} over {best}: {shown(told)}")
            told = [row["winner"][figure] - row["same_norm"][figure] for row in rows if "same_norm" in row]
            if told:
                kept.setdefault(f"{figure} over {SAME_NORM} of the same norm", []).append(float(np.mean(told)))
                print(f"  {figure} over {SAME_NORM} of the same norm: {shown(told)}")
            told = [row["winner"][figure] - row["random"][figure] for row in rows if "random" in row]
            if told:
                kept.setdefault(f"{figure} over random search", []).append(float(np.mean(told)))
                print(f"  {figure} over random search: {shown(told)}")
    for name, values in means.items():
        print(f"mean over {len(values)} cells, {name}: {shown(values)}")


def shown(values: list[float]) -> str:
    """Mean and interval."""
    found = interval(values)
    ends = f" ({found['low']:+.2f} … {found['high']:+.2f})" if "low" in found else ""
    return f"{found['mean']:+.2f}{ends}, n = {found['n']}"


if __name__ == "__main__":
    main()
