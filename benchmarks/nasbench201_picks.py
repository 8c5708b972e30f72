"""Which cell of NAS-Bench-201 does a search deliver, without a limit and at every quartile of parameters?

For each seed a supernet learns from CIFAR-10 by the preset `quick`, and for each limit candidates are searched by its
order without labels. Of ten designs (the cells written by hand that the limit allows, then the search's first) the one
with the best validation accuracy after 12 epochs goes on, as the table of NAS-Bench-201 knows it: these ten short
trainings are all that is looked up before the choice, and the accuracy after 200 epochs, on test images, is what is
reported, beside the best there is within the limit; and, for what bounds it, what more of these trainings would have
chosen, of the search's first forty and of all that it scored. A stopped benchmark goes on.

    python benchmarks/nasbench201_picks.py --seeds 0 1 2 3 4
    python benchmarks/nasbench201_picks.py --report
"""

from __future__ import annotations

import argparse
import csv
import gzip
import statistics
import tempfile
from pathlib import Path

import numpy as np

from common import RESULTS, SHARED, cifar10_npz, read, save
from lowland.core.config import ComputeConfig
from lowland.core.device import resolve
from lowland.core.settings import merge
from lowland.spaces import get
from lowland.store.run import Run
from lowland.workflow import candidates, pipeline
from lowland.workflow.presets import assemble

RESULT = RESULTS / "nasbench201_picks.json"
TRUTH = SHARED / "nas" / "nasbench201_cifar10.csv.gz"
BRIEFLY, TRULY = "valid_acc_12epochs", "test_acc"
FINALISTS = 10
PICKS = ("order alone", "ten of the order", "ten designs", "forty of the order", "all that were scored")
EVOLUTION = {"population": 50, "generations": 6, "parents": 15, "mutations": 25, "crossovers": 15}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "lowland-picks")
    parser.add_argument("--report", action="store_true", help="print the table and measure nothing")
    arguments = parser.parse_args()
    with gzip.open(TRUTH, "rt") as stream:
        table = {row["arch"]: row for row in csv.DictReader(stream)}
    if not arguments.report:
        for seed in arguments.seeds:
            for quartile, limit in limits(table).items():
                one(seed, quartile, limit, table, arguments.home)
    report(table)


def limits(table: dict[str, dict[str, str]]) -> dict[str, int | None]:
    """Most parameters: the quartiles over all genotypes, and none."""
    parameters = np.array([float(row["params"]) for row in table.values()])
    return {f"{q} %": int(np.quantile(parameters, q / 100)) for q in (25, 50, 75)} | {"100 %": None}


def one(seed: int, quartile: str, limit: int | None, table: dict[str, dict[str, str]], home: Path) -> None:
    """One search, unless it is known."""
    results = read(RESULT) or {"benchmark": "nasbench201_picks", "picks": {}}
    if set(PICKS) <= set(results["picks"].get(str(seed), {}).get(quartile, {})):
        return
    path = home / str(seed)
    search = {"finalists": 0, "max_params": limit, "options": {"evolution": EVOLUTION}}
    # The table's networks: 16 channels, five cells a stage. Candidates within a limit are those of the table within it.
    settings = {
        "seed": seed,
        "data": {"name": str(cifar10_npz(Path(tempfile.gettempdir()) / "lowland-benchmarks", 10_000))},
        "network": {"channels": 16, "cells": 5, "growth": 2.0},
        "search": search,
    }
    if (path / "manifest.json").exists():
        pipeline.resume(path, last="search", changes=[{"search": search}])
    else:
        pipeline.run(assemble(settings), path, last="search")
    with Run.open(path, read_only=True) as run:
        found = run.read_json("search.json")
        seconds = run.manifest["stages"]["supernet"]["seconds"]
    found_here = candidates.archive(path)  # a DataFrame where pandas is installed
    scored = list(found_here["genotype"]) if hasattr(found_here, "columns") else [row["genotype"] for row in found_here]
    order = [entry["genotype"] for entry in found["ranking"]]
    space = get("nasbench201")
    by_hand = [space.format(space.parse(text)) for text in space.references.values()]
    allowed = [text for text in by_hand if limit is None or float(table[text]["params"]) <= limit]
    designs = list(dict.fromkeys([*allowed, *order]))[:FINALISTS]
    tried = (order[:1], order[:FINALISTS], designs, order[:40], scored)
    picks = {
        name: max(those, key=lambda text: float(table[text][BRIEFLY])) for name, those in zip(PICKS, tried, strict=True)
    }
    rows = {name: {"genotype": text, TRULY: float(table[text][TRULY])} for name, text in picks.items()}
    facts = {"limit": limit, "candidates": found["summary"]["proposed"], "supernet_seconds": round(seconds, 1)}
    results = merge(read(RESULT) or results, {"picks": {str(seed): {quartile: rows | facts}}})
    save(RESULT, results, resolve(ComputeConfig()))
    print(seed, quartile, {name: row[TRULY] for name, row in rows.items()}, flush=True)


def report(table: dict[str, dict[str, str]]) -> None:
    """Median and range over seeds of the true accuracy, beside the best within the limit and the cells by hand."""
    picks = read(RESULT)["picks"]
    for quartile, limit in limits(table).items():
        within = [float(row[TRULY]) for row in table.values() if limit is None or float(row["params"]) <= limit]
        print(f"{quartile}: at most {limit or 'any number of'} parameters, best {max(within):.2f}")
        rows = [found[quartile] for found in picks.values() if quartile in found]
        for name in PICKS:
            values = [row[name][TRULY] for row in rows if name in row]
            if values:
                shown = f"median {statistics.median(values):.2f} ({min(values):.2f} … {max(values):.2f})"
                print(f"  {name}: {shown}, {len(values)} supernets")


if __name__ == "__main__":
    main()
