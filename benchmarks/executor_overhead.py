"""What handing out a candidate costs: the time of one that takes none, by executor.

python benchmarks/executor_overhead.py --executor local ray --out benchmarks/results/executor_overhead.json
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lowland.core.device import environment
from lowland.core.genotype import Genotype
from lowland.core.registry import EXECUTORS
from lowland.execution import local as local_module
from lowland.execution.outcome import LocalScorer
from lowland.execution.room import Room


def null(request: object, genotype: Genotype) -> SimpleNamespace:
    """A score that takes no time."""
    return SimpleNamespace(value=float(genotype.genes[0]), standard_error=None, details={})


class Prepare:
    """What every worker does first."""

    def __call__(self) -> Any:
        """The function that measures."""
        return null


def overhead(name: str, workers: int, tasks: int, rounds: int) -> dict[str, Any]:
    import executor_overhead as importable  # by this name workers find what they prepare

    genotypes = [Genotype("null", (index,)) for index in range(tasks)]
    local = LocalScorer(lambda genotype: null(None, genotype))
    with EXECUTORS.load(name)(Room(workers), importable.Prepare()) as executor:
        while executor.dispatcher.alive < workers:  # till then `local` scores in this process
            list(executor.scores("warm", genotypes[:20], local))
            time.sleep(0.05)
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            assert [each.value for each in executor.scores("null", genotypes, local)] == [
                float(index) for index in range(tasks)
            ]
            found.append(1000 * (time.perf_counter() - began) / tasks)
    return {"workers": workers, "tasks": tasks, "milliseconds_per_task": [round(each, 3) for each in found]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executor", nargs="+", default=["local", "ray"])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    local_module.WORTH_SECONDS = 0.0
    result: dict[str, Any] = {"environment": environment(), "load_before": round(os.getloadavg()[0], 1)}
    for name in options.executor:
        result[name] = overhead(name, options.workers, options.tasks, options.rounds)
        print(name, result[name], flush=True)
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
