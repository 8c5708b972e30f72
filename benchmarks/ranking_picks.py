"""What a search on NAS-Bench-201 picks, by its order, a shortlist and finalists, looked up in the table of truth.

Used by `ranking_study.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lowland.store.run import Run
from lowland.workflow import pipeline

BRIEFLY = "valid_acc_12epochs"
"""The table's validation accuracy after 12 epochs: no score, but a bound of what short training can add to scores."""

PICKED = "flatness(sigmas=[2e-2,4e-2])+angle+macs+naswot+synflow+meco+expressivity"
"""What the search is made with: parts that together take a fraction of a second per candidate."""

STEADY = "perturbed_accuracy"
SHORTLISTS = (10, 20, 50, 100)
"""Of so many of the best, the measure `STEADY` chooses."""

FINALISTS = (5, 10, 20, 50)
"""Of so many of the best, the table's 12 epochs of training choose by validation accuracy (as `search.finalists`)."""


def picked(home: Path, table: dict[str, dict[str, str]], generations: int) -> dict[str, Any]:
    """True accuracies of the genotype that a search with the label-free combination puts first.

    Of the one that perturbed_accuracy puts first of the first few (`search.shortlist`). And of the one of the first few
    that has the best validation accuracy after 12 epochs, as the table knows it: what `search.finalists` trains for.
    Test accuracies are looked up only once the choice is made.
    """
    change = {
        "measure": {
            "name": PICKED,
            "combine": "log-rank",
            "images": 500,
            "noise_images": 125,
            "draws": 8,
            "options": {"angle": {"vector": "cells"}},
        },
        "search": {
            "options": {
                "evolution": {
                    "population": 50,
                    "generations": generations,
                    "parents": 15,
                    "mutations": 25,
                    "crossovers": 15,
                }
            },
            "shortlist": max(SHORTLISTS),
            "shortlist_measure": f"{STEADY}(draws=16, noise_images=250)",
        },
    }
    pipeline.resume(home, changes=[change], last="search")
    with Run.open(home, read_only=True) as run:
        found = run.read_json("search.json")
    entries = sorted(found["ranking"], key=lambda entry: -entry["value"])  # before there was a shortlist
    best = [table[entry["genotype"]] for entry in entries]
    steady = {
        str(count): table[max(entries[:count], key=lambda entry: entry["shortlist"]["value"])["genotype"]]
        for count in SHORTLISTS
    }
    listed = sorted(entries[: max(SHORTLISTS)], key=lambda entry: -entry["shortlist"]["value"])
    last = {
        str(count): max((table[entry["genotype"]] for entry in listed[:count]), key=lambda row: float(row[BRIEFLY]))
        for count in FINALISTS
    }
    finalists = {str(count): max(best[:count], key=lambda row: float(row[BRIEFLY])) for count in FINALISTS}
    return looked_up(best[0]) | {
        "candidates": found["summary"]["proposed"],
        "shortlist": {count: looked_up(row) for count, row in steady.items()},
        "finalists": {count: looked_up(row) for count, row in finalists.items()},
        "finalists of the shortlist": {count: looked_up(row) for count, row in last.items()},
    }


def looked_up(row: dict[str, str]) -> dict[str, Any]:
    """What the table knows of a genotype after full training."""
    return {"genotype": row["arch"]} | {name: float(row[name]) for name in ("test_acc", "corrupt_mean")}
