"""Does the surrogate search find a better front than random search with as many evaluations?

Objectives: error and parameters of NAS-Bench-201 networks, looked up in the table of published CIFAR-10 accuracies
(../shared/data), so that only the search is judged. Hypervolumes are taken with three references: the worst values of
the search's own initial sample; its medians, since a single network that did not learn makes the box of the worst
values so large that any front fills it; and the nadir of the true front, as is usual where that is known. The best
there is, the front of the whole table, stands beside.

    python benchmarks/pareto_vs_random.py --initial 100 --iterations 30 --seeds 0 1 2 3 4
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from common import RESULTS, SHARED, read, save
from lowland import spaces
from lowland.config import ComputeConfig, MeasureConfig, SearchConfig
from lowland.device import resolve
from lowland.genotype import Genotype
from lowland.search import Candidate, Proposal, Reference, hypervolume, parse_objectives, random
from lowland.search.front import ranks
from lowland.search.pareto import pareto
from lowland.spaces import Cost, Space

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


def compared(
    config: SearchConfig, seed: int, space: Space, known: dict[Genotype, tuple[float, Cost]]
) -> dict[str, Any]:
    objectives = parse_objectives(["error", "params"], MeasureConfig())

    def score(proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        for genotype, generation, origin in proposals:
            found = candidate(genotype, *known[genotype], generation, origin)
            yield replace(found, key=space.key(genotype))

    def quiet(*_: object) -> None:
        pass

    def cost(genotype: Genotype) -> Cost:
        return known[genotype][1]

    found = pareto(space, config, seed, score, cost, quiet, objectives)
    drawn = random(space, config, seed, score, cost, quiet)
    every = [candidate(genotype, *values, 0, "table") for genotype, values in known.items()]
    initial = [each for each in found.ranking if each.generation == 0]
    values_NM = np.array([[-each.value, each.parameters] for each in every])
    front = [each for each, rank in zip(every, ranks(values_NM), strict=True) if rank == 0]
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
    arguments = parser.parse_args()
    space = spaces.get("nasbench201")
    known = table(space)
    path = RESULTS / "pareto_vs_random.json"
    for kind in arguments.surrogates:
        settings = {
            "strategy": "pareto",
            "initial": arguments.initial,
            "iterations": arguments.iterations,
            "proposals": arguments.proposals,
            "surrogate": kind,
            "candidates": arguments.initial + arguments.iterations * arguments.proposals,
        }
        name = f"{kind}, {arguments.initial} + {arguments.iterations} x {arguments.proposals}"
        for seed in arguments.seeds:
            results = read(path) or {"benchmark": "pareto_vs_random", "settings": {}}
            entry = results["settings"].setdefault(name, {"seeds": {}})
            entry["seeds"][str(seed)] = row = compared(SearchConfig(**settings), seed, space, known)
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
