"""What the benchmarks of dense tasks share: trainings of all candidates for several seeds, and what is told of them.

Backbones of equal size (`dense_candidates.py`) are trained from scratch by one preset and the same steps, on the same
pictures. Results are kept after every training; a stopped benchmark goes on, in the middle of a training too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, interval, read, save
from dense_candidates import Candidate, candidates, described
from lowland.core.config import ComputeConfig
from lowland.core.device import Compute, resolve
from lowland.core.lines import Lines, stamp
from lowland.core.settings import merge
from lowland.evaluation.dense.suite import DenseSuite, Place
from lowland.store import inside


def parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """What can be asked of every one of these benchmarks."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--found", default="published:genas-flatness-c100", help="run, network folder or published:…")
    made.add_argument("--size", default="mobilenetv3_small_050", help="timm's network, whose size all have")
    made.add_argument("--preset", default="small")
    made.add_argument("--epochs", type=float, help="default: the preset's")
    made.add_argument("--steps", type=int, help="in place of epochs")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--only", nargs="+", default=["found", "random", "timm"], help="some of the candidates")
    made.add_argument("--threads", type=int, default=1)
    made.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / f"lowland-{name}")
    made.add_argument("--result", type=Path, default=RESULTS / f"{name}.json")
    made.add_argument("--report", action="store_true", help="print the table and measure nothing")
    return made


def length(arguments: argparse.Namespace) -> dict[str, Any]:
    """Settings of the suite that these options name."""
    return {"preset": arguments.preset, "epochs": arguments.epochs, "steps": arguments.steps, "scratch": True}


def compare(arguments: argparse.Namespace, name: str, metric: str, made: Callable[[], DenseSuite]) -> None:
    """Train what is missing, unless only the report is asked for; then report.

    Args:
        arguments: As `parser` reads them.
        name: Of the benchmark.
        metric: The key of what candidates are compared by.
        made: The suite with its settings.
    """
    if not arguments.report:
        compute = resolve(ComputeConfig(threads=arguments.threads))
        chosen = [each for each in candidates(arguments.found, arguments.size) if each.name in arguments.only]
        for seed in arguments.seeds:
            for candidate in chosen:
                measure(candidate, seed, arguments, name, made(), compute)
    report(arguments.result, metric)


def measure(
    candidate: Candidate, seed: int, arguments: argparse.Namespace, name: str, suite: DenseSuite, compute: Compute
) -> None:
    """One training of one candidate, unless it is known."""
    problem = suite.problem()
    asked = {
        "found": arguments.found,
        "size": arguments.size,
        "data": problem.data,
        "recipe": problem.recipe.model_dump(mode="json"),
        "precision": compute.precision,
    }
    results = read(arguments.result) or {"benchmark": name, "asked": asked, "trainings": {}}
    if results["asked"] != json.loads(json.dumps(asked)):
        raise SystemExit(f"{arguments.result} holds another comparison; give another --result")
    key = f"{candidate.name}/{seed}"
    if key in results["trainings"]:
        return
    source = candidate.source(seed)
    home = arguments.home / candidate.name
    inside.make_root(home)
    place = Place(
        source=source,
        root=home,
        folder="",
        compute=compute,
        seed=seed,
        checkpoint_seconds=30.0,
        monitor=Lines(lambda text: print(f"{stamp()}  {candidate.name}  {text}", flush=True)),
    )
    (outcome,) = suite.learn(place).outcomes
    found = {key: {"backbone": described(source), "outcome": asdict(outcome)}}
    save(arguments.result, merge(read(arguments.result) or results, {"trainings": found}), compute)


def report(file: Path, metric: str) -> None:
    """Write the mean of each candidate, and paired differences, into the results, and print them."""
    results = read(file)
    if not results:
        raise SystemExit(f"{file} is not there; measure first")
    summary: dict[str, Any] = {}
    for what, of in ((metric, lambda each: each["outcome"]["metrics"][metric]), (LOSS, at_the_end)):
        values: dict[str, dict[int, float]] = {}
        for key, each in results["trainings"].items():
            name, _, seed = key.partition("/")
            values.setdefault(name, {})[int(seed)] = of(each)
        summary[what] = {name: interval(list(found.values())) for name, found in values.items()}
        for other in ("random", "timm"):
            shared = sorted(values.get("found", {}).keys() & values.get(other, {}).keys())
            if shared:
                differences = [values["found"][seed] - values[other][seed] for seed in shared]
                summary[what][f"found − {other}"] = interval(differences)
        for name, found in summary[what].items():
            print(f"{what}: {name:14} {shown(found)}")
    file.write_text(json.dumps(results | {"summary": summary}, indent=2) + "\n", encoding="utf-8")


LOSS = "training loss, last tenth"


def at_the_end(training: dict[str, Any]) -> float:
    """The training loss, all its parts, on average over the last tenth of the steps."""
    parts = training["outcome"]["losses"].values()
    return float(sum(np.mean(values[-max(1, len(values) // 10) :]) for values in parts))


def shown(found: dict[str, float]) -> str:
    """Mean and 95 % interval."""
    between = f" ({found['low']:.3f} … {found['high']:.3f})" if "low" in found else ""
    return f"{found['mean']:.3f}{between}, n = {found['n']}"
