"""Searches on NAS-Bench-201 at equal core time, judged by the table: GeNAS's and the default's beside the field.

Every search gets so many core-minutes for its supernet and all it scores; what it finds is looked up in the table of
full trainings on CIFAR-10, of which it sees a few thousand images. A budget counts core time here, not wall time, so
that other work on the machine decides nothing; use one thread. It is `lowland compare --searchers` besides, and goes on
where it stopped: results are written after every search.

    OMP_NUM_THREADS=1 python benchmarks/searchers_nasbench201.py --seeds 3 --core-minutes 10
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from common import RESULTS, SHARED, cifar10_npz, read, save
from lowland.core.config import ComputeConfig
from lowland.core.device import resolve
from lowland.core.monitor import Monitor, Start
from lowland.workflow import timing
from lowland.workflow.result import RunResult
from lowland.workflow.search_comparison.comparison import compare_searches
from lowland.workflow.search_comparison.request import SearchesRequest
from lowland.workflow.searchers.gradient import trial

SEARCHES = (
    *("spos", "darts", "genas", "random", "default", "rlnas", "genas-angle", "pc-darts", "sdarts-rs", "sdarts-adv"),
    *("a2m", "darts-2nd", "regularized-evolution", "flatnas", "darts-pt"),
)
"""In the order in which they are made."""

PUBLISHED = {
    "darts": 54.30,
    "pc-darts": 93.41,
    "rlnas": 93.35,
    "shapley": 94.37,
    "optimum": 94.37,
}
"""Test accuracy on CIFAR-10 of the networks found with the published supernets, as other papers quote it."""


class CoreTime(Monitor):
    """Core seconds of every run, added up in `known` by `<search>/<seed>`."""

    def __init__(self, known: dict[str, float]) -> None:
        self.known, self.began, self.key = known, 0.0, ""

    def begin(self, start: Start) -> None:
        """Note whose time it is."""
        self.key = "/".join(Path(start.path).parts[-2:])
        self.began = time.process_time()

    def end(self, result: RunResult) -> None:
        """Add it up."""
        self.known[self.key] = self.known.get(self.key, 0.0) + time.process_time() - self.began

    def say(self, line: str) -> None:
        """Print it."""
        print(line, flush=True)

    note = say


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", nargs="+", default=list(SEARCHES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--core-minutes", type=float, default=10.0, help="for each search")
    parser.add_argument("--images", type=int, default=5000, help="training images of CIFAR-10")
    parser.add_argument("--truth", type=Path, default=SHARED / "nas" / "nasbench201_cifar10.csv.gz")
    parser.add_argument("--work", type=Path, default=Path("runs") / "searchers_nasbench201")
    parser.add_argument("--out", type=Path, default=RESULTS / "searchers_nasbench201.json")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    timing.time = trial.time = SimpleNamespace(perf_counter=time.process_time)
    layers: list[dict[str, Any]] = [
        {
            "data": {"name": str(cifar10_npz(work / "data", arguments.images, 500))},
            "budget": 60 * arguments.core_minutes,
            # Networks of the table have 16 channels and 5 cells a stage; all searches have supernets of one cell.
            "supernet": {"channels": 8, "cells": 1},
            "search": {"workers": 1},
            "compute": {"threads": 1},
        }
    ]
    known = read(arguments.out)
    core: dict[str, float] = dict(known.get("core_seconds", {}))
    monitor = CoreTime(core)
    for seeds in range(1, arguments.seeds + 1):
        # With the first seed one search after another; with further ones all together, which needs all to be compared.
        counts = range(1, len(arguments.searches) + 1) if seeds == 1 else [len(arguments.searches)]
        for count in counts:
            request = SearchesRequest(searchers=tuple(arguments.searches[:count]), seeds=seeds, truth=arguments.truth)
            document = compare_searches(request, work / "runs", layers, monitor=monitor)
            document["published"], document["core_seconds"] = PUBLISHED, core
            document["arguments"] = {
                key: value for key, value in vars(arguments).items() if key not in ("work", "out", "truth")
            }
            save(arguments.out, document, resolve(ComputeConfig(device="cpu", threads=1)))
            for row in document["rows"]:
                accuracies = ", ".join(f"{each['accuracy']:.2f}" for each in row["found"])
                print(f"{row['name']:22s} {accuracies}", flush=True)
            print("\n".join(document["sentences"]), flush=True)


if __name__ == "__main__":
    main()
