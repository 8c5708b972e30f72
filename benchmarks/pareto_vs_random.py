"""Does the surrogate search find a better front than random search with as many evaluations?

Objectives: error and parameters. Of NAS-Bench-201 networks, looked up in the table of published CIFAR-10 accuracies
(../shared/data), so that only the search is judged; or, with `--run`, of the paths of a trained supernet, each
calibrated and evaluated on its search split, under a limit of parameters. Hypervolumes are taken with three references:
the worst values of the search's own initial sample; its medians, since a single network that did not learn makes the
box of the worst values so large that any front fills it; and the nadir of the front of the whole table, or of
the two searches' fronts together. What the front of all known candidates would reach stands beside. Scores of a
run are kept in `--work`, so that the same command goes on where it stopped.

    python benchmarks/pareto_vs_random.py --initial 100 --iterations 30 --seeds 0 1 2 3 4
    python benchmarks/pareto_vs_random.py --run runs/flatnas_matrix/supernet-5000-16/0 --max-params 400000
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, SHARED, read, save
from lowland import spaces
from lowland.core.config import ComputeConfig, MeasureConfig, SearchConfig
from lowland.core.device import resolve
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.search import (
    Archive,
    Candidate,
    Evaluator,
    Proposal,
    Reference,
    SearchProblem,
    hypervolume,
    parse_objectives,
)
from lowland.search.strategies.pareto.front import ranks
from lowland.search.strategies.pareto.strategy import Pareto
from lowland.search.strategies.random import Random
from lowland.spaces import Cost, Space
from lowland.store.artifacts import supernet_digest
from lowland.store.run import Run
from lowland.workflow.identity import measure_identity
from lowland.workflow.scoring import scorers
from lowland.workflow.session import Session

REFERENCES = ("worst", "median", "nadir")


def table(space: Space) -> dict[Genotype, tuple[float, Cost]]:
    """Accuracy in [0, 1] and size of every genotype."""
    with gzip.open(SHARED / "nas" / "nasbench201_cifar10.csv.gz", "rt") as stream:
        return {
            space.parse(row["arch"]): (
                float(row["test_acc"]) / 100,
                Cost(int(row["params"]), round(1e6 * float(row["mmacs"]))),
            )
            for row in csv.DictReader(stream)
        }


def candidate(genotype: Genotype, accuracy: float, size: Cost, generation: int, origin: str) -> Candidate:
    return Candidate(
        genotype=genotype,
        key=str(genotype),
        measure="published accuracy",
        generation=generation,
        origin=origin,
        status="scored",
        value=accuracy,
        parameters=size.parameters,
        macs=size.macs,
    )


@dataclass(frozen=True)
class Published:
    """Candidates whose accuracy is looked up."""

    space: Space
    known: dict[Genotype, tuple[float, Cost]]

    def __call__(self, proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        """The candidates of a batch."""
        for genotype, generation, origin in proposals:
            found = candidate(genotype, *self.known[genotype], generation, origin)
            yield replace(found, key=self.space.key(genotype))

    def cost(self, genotype: Genotype) -> Cost:
        """Published size."""
        return self.known[genotype][1]

    @cached_property
    def all(self) -> list[Candidate]:
        """Every genotype of the table."""
        return [candidate(genotype, *values, 0, "table") for genotype, values in self.known.items()]


Source = Published | Evaluator
"""Where candidates get their objectives from."""


def front_of(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other undercuts in error and parameters."""
    values_NM = np.array([[-each.value, each.parameters] for each in candidates])
    return [each for each, rank in zip(candidates, ranks(values_NM), strict=True) if rank == 0]


def compared(own: Pareto.Config, config: SearchConfig, seed: int, source: Source) -> dict[str, Any]:
    objectives = parse_objectives(own.objectives, MeasureConfig())
    problem = SearchProblem(space=source.space, score=source, cost=source.cost, seed=seed, max_params=config.max_params)
    found = Pareto(own).search(problem)
    drawn = Random(Random.Config(candidates=own.initial + own.iterations * own.proposals)).search(problem)
    every = source.all if isinstance(source, Published) else [*found.ranking, *drawn.ranking]
    initial = [each for each in found.ranking if each.generation == 0]
    fronts = [every] if isinstance(source, Published) else [found.ranking, drawn.ranking]
    front = [each for candidates in fronts for each in front_of(candidates)]
    references = {
        "worst": Reference.of(initial, objectives, config, None),
        "median": Reference.of(initial, objectives, config, None, 0.5),
        "nadir": Reference.of(front, objectives, config, None),
    }
    volumes: dict[str, Any] = {}
    for name, reference in references.items():
        pareto_volume, random_volume, best = (
            hypervolume(candidates, objectives, config, reference)
            for candidates in (found.ranking, drawn.ranking, every)
        )
        volumes[name] = {
            "pareto": pareto_volume,
            "random": random_volume,
            "best": best,
            "ratio": pareto_volume / random_volume,
            "possible": best / random_volume,
        }
    assert found.facts is not None
    last = found.facts["iterations"][-1]["surrogates"][0]
    return {
        "hypervolume": volumes,
        "surrogate_tau": last["tau"],
        "surrogate": last["kind"],
        "scored": len(found.ranking),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--initial", type=int, default=100)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--proposals", type=int, default=8)
    parser.add_argument("--surrogates", nargs="+", default=["rbf", "adaptive"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--run", type=Path, help="run directory with a trained supernet, instead of the table")
    parser.add_argument("--images", type=int, default=500, help="search images that candidates of a run are scored on")
    parser.add_argument("--max-params", type=int)
    parser.add_argument("--work", type=Path, default=Path("runs") / "pareto_vs_random")
    arguments = parser.parse_args()
    with source(arguments) as (candidates, what):
        searched(candidates, what, arguments)


@contextmanager
def source(arguments: argparse.Namespace) -> Iterator[tuple[Source, str]]:
    """The candidates' scores, and what they are called in the results."""
    if arguments.run is None:
        space = spaces.get("nasbench201")
        yield Published(space, table(space)), ""
        return
    with Run.open(arguments.run, read_only=True) as run:
        measure = run.config.measure.model_copy(
            update={"name": "accuracy", "combine": "sum", "images": arguments.images}
        )
        finetune = run.config.finetune.model_copy(update={"epochs": 0})
        run.config = run.config.model_copy(update={"measure": measure, "finetune": finetune})
        session = Session(run, Monitor())
        weights = supernet_digest(run)
        arguments.work.mkdir(parents=True, exist_ok=True)
        with Archive(arguments.work / f"{weights[:16]}.sqlite") as archive, scorers(session) as scorer:
            identity = measure_identity(session, measure)
            yield (
                Evaluator(session.space, scorer(measure), archive, identity, session.cost),
                f"{session.space.name}, supernet {weights[:16]}, at most {arguments.max_params} parameters, ",
            )


def searched(candidates: Source, what: str, arguments: argparse.Namespace) -> None:
    """Every surrogate and seed, each kept in the results as soon as it is there."""
    path = RESULTS / "pareto_vs_random.json"
    for kind in arguments.surrogates:
        settings = {
            "objectives": ["error", "params"],
            "initial": arguments.initial,
            "iterations": arguments.iterations,
            "proposals": arguments.proposals,
            "surrogate": kind,
        }
        limits = SearchConfig(max_params=arguments.max_params)
        name = f"{what}{kind}, {arguments.initial} + {arguments.iterations} x {arguments.proposals}"
        for seed in arguments.seeds:
            results = read(path) or {"benchmark": "pareto_vs_random", "settings": {}}
            entry = results["settings"].setdefault(name, {"seeds": {}})
            entry["seeds"][str(seed)] = row = compared(Pareto.Config(**settings), limits, seed, candidates)
            rows = list(entry["seeds"].values())
            entry["median"] = {
                **{key: float(np.median([r["hypervolume"][key]["ratio"] for r in rows])) for key in REFERENCES},
                "surrogate_tau": float(np.median([r["surrogate_tau"] for r in rows])),
            }
            save(path, results, resolve(ComputeConfig(threads=1)))
            ratios = "  ".join(f"{key} {row['hypervolume'][key]['ratio']:.4f}" for key in REFERENCES)
            print(f"{name} seed {seed}: {ratios}  tau {row['surrogate_tau']:.3f}", flush=True)


if __name__ == "__main__":
    main()
