"""Generations against `search.lag`: time that workers wait, and what a search loses that does not see all scores.

    python benchmarks/lag.py --out benchmarks/results/lag.json

Efficiency: the real strategy, dispatcher, evaluator and archive over 1,000 workers in virtual time; candidates of 10 s
(coefficient of variation 0.3), calm and with 1 % of attempts 8 times as long and 5 % that lose their worker. Evolution
of 20 generations of 1,000 candidates, one for each worker, in a toy space, where scores mean nothing.

Quality: the table of NAS-Bench-201, 500 accuracies each, at equal evaluations: the best validation accuracy found so
far, which is what the search looks for, and the test accuracy of that network, in percent.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import black_box
from common import interval
from lowland.core.config import SearchConfig
from lowland.core.device import environment
from lowland.core.errors import LowlandWarning
from lowland.core.genotype import Genotype
from lowland.execution.outcome import LocalScorer
from lowland.execution.room import Room
from lowland.search import Archive, Evaluator, SearchProblem
from lowland.search.strategies import strategy as strategies
from lowland.spaces import Cost
from lowland.testing.simulated import Simulated, Weather
from lowland.testing.toys import ToySpace

CALM = {"seconds": 10.0, "variation": 0.3}
WEATHERS = {"calm": CALM, "rough": {**CALM, "slow": 0.01, "factor": 8.0, "loss": 0.05, "restart": 60.0}}
SIZE = Cost(parameters=1, macs=1)
LAGS: dict[str, tuple[int | None, ...]] = {
    "evolution": (None, 0, 50, 200),
    "regularized-evolution": (0, 50, 200),
    "local": (0, 50, 200),
}
"""None: generations. The others have none, so that 0 is what they do by default."""

GENERATIONS = 20

PARTS = (*WEATHERS, *LAGS)
EVALUATIONS = (100, 200, 300, 500)
SEARCHES: dict[str, dict[str, Any]] = {
    "evolution": {"population": 50, "generations": 10, "parents": 10, "mutations": 25, "crossovers": 25},
    "regularized-evolution": {"candidates": 500},
    "local": {"candidates": 500},
}


def score(_: object, genotype: Genotype) -> SimpleNamespace:
    """A value that is a function of the genotype alone."""
    value = float(np.random.default_rng(list(genotype.genes)).random())
    return SimpleNamespace(value=value, standard_error=None, details={})


def prepare() -> Any:
    return score


class Scorer:
    """What a run makes of an executor."""

    def __init__(self, executor: Simulated) -> None:
        self.executor = executor
        self.local = LocalScorer(lambda genotype: score(None, genotype))

    def scores(self, genotypes: Any) -> Any:
        """One by one."""
        return self.executor.scores("benchmark", genotypes, self.local)

    def stream(self, more: Any) -> Any:
        """Those together that are known together."""
        return self.executor.stream("benchmark", more, self.local)


def efficiency(lag: int | None, workers: int, weather: dict[str, float], folder: Path) -> dict[str, Any]:
    """Search once in virtual time."""
    space = ToySpace(length=12, choices=8)
    own = {"population": workers, "generations": GENERATIONS, "parents": 50, "mutations": workers // 2, "crossovers": 0}
    strategy = strategies.chosen(SearchConfig(options={"evolution": own}))
    candidates, cpu = workers * GENERATIONS, time.process_time()
    path = folder / "archive.sqlite"
    path.unlink(missing_ok=True)
    with Archive(path) as archive, Simulated(Room(workers), prepare, weather=Weather(**weather)) as executor:
        evaluator = Evaluator(space, Scorer(executor), archive, "m", lambda _: SIZE)
        problem = SearchProblem(
            space=space, score=evaluator, stream=evaluator.stream, cost=lambda _: SIZE, seed=0, lag=lag
        )
        summary = strategy.search(problem).summary
        assert summary.scored == candidates
        return {
            "lag": lag,
            "virtual_seconds": round(executor.clock, 1),
            "efficiency": round(weather["seconds"] * candidates / (workers * executor.clock), 4),
            **{name: executor.facts()[name] for name in ("lost", "copied")},
            "cpu_seconds": round(time.process_time() - cpu, 2),
        }


def quality(name: str, lag: int | None, seeds: int) -> dict[str, Any]:
    """Validation and test accuracy, percent, of the best by validation among the first evaluations, over seeds."""
    found: dict[int, list[tuple[float, float]]] = {count: [] for count in EVALUATIONS}
    for seed in range(seeds):
        seen: list[tuple[float, float]] = []

        def report(done: int, total: int, candidate: Any, best: Any, seen: list[Any] = seen) -> None:
            row = black_box.table()[candidate.genotype.genes]
            seen.append((row["valid_acc"], row["test_acc"]))

        strategy = strategies.chosen(SearchConfig(strategy=name, options={name: SEARCHES[name]}))
        strategy.search(
            SearchProblem(
                space=black_box.SPACE, score=black_box.score, cost=lambda _: SIZE, seed=seed, lag=lag, report=report
            )
        )
        for count in EVALUATIONS:
            found[count].append(max(seen[:count]))
    return {
        str(count): {what: interval([each[place] for each in values]) for place, what in enumerate(("valid", "test"))}
        for count, values in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="the others stay as they are")
    options = parser.parse_args()
    warnings.simplefilter("ignore", LowlandWarning)  # of candidates that needed a third worker
    black_box.SPACE.key = cache(black_box.SPACE.key)  # type: ignore[method-assign]
    for part in options.only:
        if part in WEATHERS:
            with tempfile.TemporaryDirectory() as name:
                lags = (None, *(share * options.workers for share in (1, 2, 3, 5)))
                found: Any = [efficiency(lag, options.workers, WEATHERS[part], Path(name)) for lag in lags]
        else:
            found = {}
            for lag in LAGS[part]:
                found["generations" if lag is None else f"lag {lag}"] = quality(part, lag, options.seeds)
        print(part, json.dumps(found), flush=True)
        if options.out:
            result = json.loads(options.out.read_text()) if options.out.exists() else {}
            result |= {"environment": environment(), "workers": options.workers, "seeds": options.seeds, part: found}
            options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
