"""Wall time of the rungs of a search: designs one after the other, and side by side on worker processes.

Six random designs of the default run, with short rungs. The ways take turns, so that other programs disturb all of them
alike; compare them within a round. The figures at the rungs must be the same wherever the threads are.

python benchmarks/rungs_side_by_side.py --steps 8 --rounds 2 --out benchmarks/results/rungs_side_by_side.json
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from lowland.core.device import environment
from lowland.core.monitor import Monitor
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble


class Watch(Monitor):
    """Times every rung, seconds."""

    def __init__(self) -> None:
        self.rungs: dict[str, float] = {}
        self._rung = ""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """A rung begins."""
        self._rung, self._began = (stage, time.perf_counter()) if stage.startswith("rung") else ("", 0.0)

    def finish(self) -> None:
        """It is complete."""
        if self._rung:
            self.rungs[self._rung] = round(time.perf_counter() - self._began, 2)


def timed(workers: int, threads: int, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The rungs of one search, and the figures at them without times."""
    epochs = options.steps / options.steps_per_epoch
    usual = assemble({}).search
    settings = {
        "search": {
            "finalists": usual.finalists,
            "halving": usual.halving,
            "promote": usual.promote,
            "searcher": "random-designs",
            "options": {"random-designs": {"number": 6}},
            "max_params": 100_000,
            "workers": workers,
            "finalist_epochs": epochs,
        },
        "compute": {"threads": threads},
    }
    watch = Watch()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        pipeline.run(assemble(settings), run, last="search", monitor=watch)
        designs = json.loads((run / "rungs.json").read_text())["designs"]
    for rows in designs.values():
        for row in rows:
            row.pop("seconds", None)
    row = {"workers": workers, "threads": threads, "load": round(load, 1), "seconds": watch.rungs}
    return row | {"sum": round(sum(watch.rungs.values()), 2)}, json.dumps(designs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", default=["1x1", "2x1"], help="workers x threads of each")
    parser.add_argument("--steps", type=int, default=8, help="training steps of the first rung")
    parser.add_argument("--steps-per-epoch", type=float, default=83.0, help="of the default run")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"environment": environment(), "steps": options.steps, "rounds": []}
    figures: dict[int, set[str]] = {}
    for _ in range(options.rounds):
        found = {}
        for way in options.ways:
            workers, threads = map(int, way.split("x"))
            found[way], told = timed(workers, threads, options)
            figures.setdefault(threads, set()).add(told)
            print(way, found[way], flush=True)
        first = found[options.ways[0]]["sum"]
        result["rounds"].append({"times": found, "faster": {way: round(first / found[way]["sum"], 2) for way in found}})
        assert all(len(told) == 1 for told in figures.values()), "figures depend on the number of workers"
        result["same_figures_by_threads"] = sorted(figures)
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
