"""Does a found network detect better than a random one of its size, and than timm's mobilenetv3_small?

For every seed three backbones of equal size (`dense_candidates.py`) are trained from scratch as `lowland detect` does
it, by one preset and the same steps, on the same pictures, and judged by COCO's average precision on the validation
pictures. Of each candidate AP and its 95 % interval over seeds are told, and the differences with pairs of equal seeds.
A stopped benchmark goes on, in the middle of a training too.

    python benchmarks/detection.py --coco DIR --found runs/mine --seeds 0 1 2
    python benchmarks/detection.py --report

The data: 128 training and 128 validation pictures of COCO at 320 pixels, so few that AP is of a few percent; what is
compared is how quickly backbones learn to find things at all.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common import RESULTS, interval, read, save
from dense_candidates import Candidate, candidates, described
from lowland.core.config import ComputeConfig
from lowland.core.device import Compute, resolve
from lowland.core.lines import Lines, stamp
from lowland.core.settings import merge
from lowland.evaluation.dense.suite import Place
from lowland.evaluation.detection.suite import DetectionSuite
from lowland.store import inside

RESULT = RESULTS / "detection.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coco", type=Path, help="folder in COCO's layout")
    parser.add_argument("--found", default="published:genas-flatness-c100", help="run, network folder or published:…")
    parser.add_argument("--size", default="mobilenetv3_small_050", help="timm's network, whose size all have")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--epochs", type=float, help="default: the preset's")
    parser.add_argument("--steps", type=int, help="in place of epochs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "lowland-detection")
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--report", action="store_true", help="print the table and measure nothing")
    arguments = parser.parse_args()
    if not arguments.report:
        compute = resolve(ComputeConfig(threads=arguments.threads))
        chosen = candidates(arguments.found, arguments.size)
        for seed in arguments.seeds:
            for candidate in chosen:
                measure(candidate, seed, arguments, compute)
    report(arguments.result)


def measure(candidate: Candidate, seed: int, arguments: argparse.Namespace, compute: Compute) -> None:
    """One training of one candidate, unless it is known."""
    settings = {"preset": arguments.preset, "epochs": arguments.epochs, "steps": arguments.steps}
    suite = DetectionSuite(DetectionSuite.Config(coco=arguments.coco, scratch=True, **settings))
    problem = suite.problem()
    asked = {
        "found": arguments.found,
        "size": arguments.size,
        "data": problem.data,
        "recipe": problem.recipe.model_dump(mode="json"),
        "precision": compute.precision,
    }
    results = read(arguments.result) or {"benchmark": "detection", "asked": asked, "trainings": {}}
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


def report(file: Path) -> None:
    """Write mean AP of each candidate, and paired differences, into the results, and print them."""
    results = read(file)
    if not results:
        raise SystemExit(f"{file} is not there; measure first")
    values: dict[str, dict[int, float]] = {}
    for key, each in results["trainings"].items():
        name, _, seed = key.partition("/")
        values.setdefault(name, {})[int(seed)] = each["outcome"]["metrics"]["AP"]
    summary: dict[str, Any] = {"AP": {name: interval(list(found.values())) for name, found in values.items()}}
    for other in ("random", "timm"):
        shared = sorted(values.get("found", {}).keys() & values.get(other, {}).keys())
        if shared:
            summary[f"found − {other}"] = interval([values["found"][seed] - values[other][seed] for seed in shared])
    for name, found in summary["AP"].items():
        print(f"{name:8} AP {shown(found)}")
    for name, found in summary.items():
        if name != "AP":
            print(f"{name:16} {shown(found)}")
    file.write_text(json.dumps(results | {"summary": summary}, indent=2) + "\n", encoding="utf-8")


def shown(found: dict[str, float]) -> str:
    """Mean and 95 % interval, percent."""
    between = f" ({found['low']:.3f} … {found['high']:.3f})" if "low" in found else ""
    return f"{found['mean']:.3f}{between}, n = {found['n']}"


if __name__ == "__main__":
    main()
