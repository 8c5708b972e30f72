"""The dispatcher and the archive under the weather of a large cluster, in virtual time.

    python benchmarks/dispatch_simulation.py --out benchmarks/results/dispatch_simulation.json

1,000 workers, 20,000 candidates of 10 s (coefficient of variation 0.3), 1 % of attempts 8 times as long, 5 % of them
with the loss of their worker, 60 s until another one is in its place. Dispatcher, loop, evaluator and archive are those
of a run; only the workers' time is virtual. Efficiency is mean seconds × candidates / (workers × virtual seconds).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lowland.core.device import environment
from lowland.core.errors import LowlandWarning
from lowland.core.genotype import Genotype
from lowland.execution.outcome import LocalScorer
from lowland.execution.room import Room
from lowland.search import Archive, Evaluator, Proposal
from lowland.spaces import Cost
from lowland.testing.simulated import Simulated, Weather


class Space:
    """Genotypes of one number; no two are isomorphic."""

    def key(self, genotype: Genotype) -> str:
        """Each is of its own."""
        return str(genotype.genes[0])


def score(_: object, genotype: Genotype) -> SimpleNamespace:
    """A value that is a function of the genotype alone."""
    value = float(np.random.default_rng(genotype.genes[0]).random())
    return SimpleNamespace(value=value, standard_error=None, details={})


def prepare() -> Any:
    return score


class Scorer:
    """What a run makes of an executor."""

    def __init__(self, executor: Simulated) -> None:
        self.executor = executor
        self.local = LocalScorer(lambda genotype: score(None, genotype))

    def scores(self, genotypes: list[Genotype]) -> Any:
        """One by one."""
        return self.executor.scores("benchmark", genotypes, self.local)

    def stream(self, more: Any) -> Any:
        """Those together that are known together."""
        return self.executor.stream("benchmark", more, self.local)


def simulate(workers: int, candidates: int, weather: Weather, folder: Path) -> dict[str, Any]:
    """Search once; gives figures, and the ranking under `ranking`."""
    proposals = [Proposal(Genotype("simulated", (index,)), 0, "random") for index in range(candidates)]
    began, cpu = time.perf_counter(), time.process_time()
    with (
        Archive(folder / f"{workers}.sqlite") as archive,
        Simulated(Room(workers), prepare, weather=weather) as executor,
    ):
        evaluator = Evaluator(Space(), Scorer(executor), archive, "m", lambda _: Cost(parameters=1, macs=1))
        found = list(evaluator(proposals))
        ranking = [each.key for each in archive.candidates("m")]
        facts = executor.facts()
        return {
            "workers": workers,
            "candidates": candidates,
            "virtual_seconds": round(executor.clock, 1),
            "efficiency": round(weather.seconds * candidates / (workers * executor.clock), 4),
            "attempts": executor.attempts,
            "failed": sum(each.status == "failed" for each in found),
            **{name: facts[name] for name in ("lost", "retried", "copied")},
            "cpu_seconds": round(time.process_time() - cpu, 2),
            "wall_seconds": round(time.perf_counter() - began, 2),
            "ranking": ranking,
        }


def commits(folder: Path, rows: int = 4000, group: int = 100) -> dict[str, float]:
    """Rows per second that the archive makes durable, one by one and in groups."""
    from lowland.search import Candidate

    found = {}
    for size in (1, group):
        with Archive(folder / f"rows-{size}.sqlite") as archive:
            many = [
                Candidate(
                    genotype=Genotype("simulated", (index,)),
                    key=str(index),
                    measure="m",
                    generation=0,
                    origin="random",
                    status="scored",
                    value=0.5,
                )
                for index in range(rows if size > 1 else rows // 10)
            ]
            began = time.perf_counter()
            for at in range(0, len(many), size):
                archive.record_all(many[at : at + size])
            found[f"rows_per_second_in_groups_of_{size}"] = round(len(many) / (time.perf_counter() - began), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=20_000)
    options = parser.parse_args()
    calm = {"seconds": 10.0, "variation": 0.3}
    rough = {**calm, "slow": 0.01, "factor": 8.0, "loss": 0.05, "restart": 60.0}
    warnings.simplefilter("ignore", LowlandWarning)  # of candidates that needed a third worker
    result: dict[str, Any] = {"environment": environment(), "weather": rough}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = simulate(1, options.candidates, Weather(**calm), folder)
        for title, weather in (
            ("loss_and_slow", rough),
            ("slow", {**rough, "loss": 0.0}),
            ("calm", calm),
        ):
            (folder / f"{options.workers}.sqlite").unlink(missing_ok=True)
            found = simulate(options.workers, options.candidates, Weather(**weather), folder)
            found["same_ranking_as_one_worker"] = found.pop("ranking") == one["ranking"]
            result[title] = found
        result["archive"] = commits(folder)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
