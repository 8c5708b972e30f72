"""Black-box strategies on the table of NAS-Bench-201: choose by validation accuracy, report test accuracy.

    python benchmarks/black_box.py [--seeds 500] [--only bananas]

Each strategy asks for 100 or 200 accuracies, isomorphs once; the test accuracy of the one it ranks first is looked up.
Also: Kendall's τ with the test accuracy of the accuracy after 12 epochs, alone and as the mean over neighbourhoods.
"""

from __future__ import annotations

import argparse
import csv
import gzip
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from common import RESULTS, SHARED, interval, read, save
from lowland import spaces
from lowland.core.config import ComputeConfig, SearchConfig
from lowland.core.device import resolve
from lowland.search import Candidate, Proposal, SearchProblem
from lowland.search.aggregation import neighbourhood_mean
from lowland.search.strategies import strategy as strategies
from lowland.spaces.values import Cost

SPACE = spaces.get("nasbench201")
STRATEGIES: dict[str, tuple[str, dict[str, Any]]] = {
    "random": ("random", {}),
    "regularized-evolution, s 3": ("regularized-evolution", {}),
    "regularized-evolution, s 10": ("regularized-evolution", {"tournament": 10}),
    "local": ("local", {}),
    "bananas": ("bananas", {}),
}
PUBLISHED = {"random": (93.79, 93.89), "regularized-evolution, s 3": (94.02, 94.18), "local": (94.05, 94.22)}


@cache
def table() -> dict[tuple[int, ...], dict[str, float]]:
    """Genes → columns of the table."""
    with gzip.open(SHARED / "nas" / "nasbench201_cifar10.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    names = ("valid_acc", "test_acc", "valid_acc_12epochs")
    return {SPACE.parse(row["arch"]).genes: {name: float(row[name]) for name in names} for row in rows}


def score(proposals: Sequence[Proposal]) -> Iterator[Candidate]:
    """Validation accuracies, looked up."""
    for genotype, generation, origin in proposals:
        yield Candidate(
            genotype=genotype,
            key=SPACE.key(genotype),
            measure="table",
            generation=generation,
            origin=origin,
            status="scored",
            value=table()[genotype.genes]["valid_acc"],
            parameters=1,
            macs=1,
        )


def found(name: str, queries: int, seed: int) -> float:
    """Test accuracy of what a strategy finds, percent."""
    kind, own = STRATEGIES[name]
    strategy = strategies.chosen(SearchConfig(strategy=kind, options={kind: {"candidates": queries, **own}}))
    problem = SearchProblem(space=SPACE, score=score, cost=lambda genotype: Cost(1, 1), seed=seed)
    return table()[strategy.search(problem).ranking[0].genotype.genes]["test_acc"]


def neighbourhoods() -> dict[str, float]:
    """τ with the test accuracy, before and after the mean over neighbourhoods."""
    genotypes = list(SPACE.all())
    alone = [table()[each.genes]["valid_acc_12epochs"] for each in genotypes]
    values = {each.genes: value for each, value in zip(genotypes, alone, strict=True)}
    means = [
        neighbourhood_mean([values[each.genes], *(values[other.genes] for other in SPACE.neighbours(each))])
        for each in genotypes
    ]
    truth = [table()[each.genes]["test_acc"] for each in genotypes]
    return {name: float(kendalltau(got, truth).statistic) for name, got in (("alone", alone), ("mean", means))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--only", nargs="+", choices=list(STRATEGIES), help="leave the others' figures as they are")
    arguments = parser.parse_args()
    seeds, path = arguments.seeds, RESULTS / "black_box.json"
    results: dict[str, Any] = {"seeds": seeds, "test_accuracy": {}} | read(path)
    if not arguments.only:
        results |= {"seeds": seeds, "kendall_tau_12_epochs": neighbourhoods()}
    for name in arguments.only or STRATEGIES:
        for place, queries in enumerate((100, 200)):
            values = [found(name, queries, seed) for seed in range(seeds)]
            row = interval(values) | {"median": float(np.median(values)), "queries": queries}
            if name in PUBLISHED:
                row["specified"] = PUBLISHED[name][place]
            results["test_accuracy"][f"{name}, {queries} queries"] = row
            print(f"{name}, {queries}: {row['mean']:.2f} ± {row['standard_error']:.3f}", row.get("specified", ""))
    save(path, results, resolve(ComputeConfig(device="cpu", threads=1)))


if __name__ == "__main__":
    main()
