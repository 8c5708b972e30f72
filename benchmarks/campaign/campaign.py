"""The campaign: kills, damage and hostile run directories, counted. It goes on where it was stopped.

    python benchmarks/campaign/campaign.py [kills damage hostile torchrun] [--minutes 30] [--seed 0]

Everything is done in forked processes on tiny runs of digits (POSIX only). Results: `results/campaign.json`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

import damage
import kills
import torch
from processes import warm

import hostile
from common import RESULTS, read, save
from lowland.core.config import ComputeConfig
from lowland.core.device import resolve

FILE = RESULTS / "campaign.json"
KEPT = 40
"""Faults kept in full, of each part."""


def kills_tally(part: dict[str, Any], row: dict[str, Any]) -> None:
    """Count a run that was killed again and again."""
    of = part.setdefault("by_kind", {}).setdefault(f"{row['kind']}, {row['way']}", {"runs": 0, "kills": 0, "faults": 0})
    of["runs"] += 1
    of["kills"] += row["kills"]
    of["faults"] += bool(row["fault"])
    part["kills"] = sum(each["kills"] for each in part["by_kind"].values())
    if row["fault"]:
        part.setdefault("faults", []).append(row)


def verbs_tally(part: dict[str, Any], row: dict[str, Any]) -> None:
    """Count how verbs ended with a mutant, or with a hostile directory."""
    place = f"{row['state']}: {row['file']}" if "state" in row else row["kind"]
    if not row["verbs"]:  # damage that changes nothing
        return
    if "state" in row:
        kind = damage.kind_of(Path(row["file"]))
        part.setdefault("by_kind", {})[kind] = part.get("by_kind", {}).get(kind, 0) + 1
    of = part.setdefault("by_place", {}).setdefault(place, {})
    of["mutants" if "state" in row else "cases"] = of.get("mutants" if "state" in row else "cases", 0) + 1
    for verb, how in row["verbs"].items():
        of[f"{verb} {how}"] = of.get(f"{verb} {how}", 0) + 1
    totals: Counter[str] = Counter()
    for each in part["by_place"].values():
        for name, count in each.items():
            totals[name.rpartition(" ")[2]] += count
    part["totals"] = dict(totals)
    for name in ("seconds", "peak_mb"):
        if name in row:
            part[f"most_{name}"] = max(part.get(f"most_{name}", 0), row[name])
    if not set(row["verbs"].values()) <= {"done", "refused"}:
        part.setdefault("faults", []).append(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("hostile", "kills", "damage", "torchrun")
    parser.add_argument("parts", nargs="*", default=names)
    parser.add_argument("--minutes", type=float, default=30.0, help="for each part; hostile is done once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=FILE)
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(names):
        parser.error(f"unknown: {', '.join(unknown)}")
    torch.set_num_threads(1)
    compute = resolve(ComputeConfig(device="cpu"))
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        os.environ["XDG_CACHE_HOME"] = f"{folder}/cache"
        home = Path(folder)
        warm(lambda: kills.carried(home / "warm", "evolution"))
        for name in arguments.parts:
            part = read(arguments.out).get(name, {})
            done = part.get("done", 0)
            sources: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
                "hostile": lambda: hostile.cases(home / "hostile"),
                "kills": lambda done=done: kills.chains(home, list(kills.KINDS), arguments.seed + done),
                "damage": lambda done=done: damage.mutants(home, arguments.seed, done),
                "torchrun": lambda done=done: kills.distributed(home, arguments.seed + done),
            }
            if name == "hostile":
                part = {}
            tally = verbs_tally if name in ("hostile", "damage") else kills_tally
            begun, spent = time.monotonic(), part.get("minutes", 0.0)
            for row in sources[name]():
                part["done"] = part.get("done", 0) + 1
                tally(part, row)
                part["faults"] = part.get("faults", [])[-KEPT:]
                minutes = (time.monotonic() - begun) / 60
                part["minutes"] = round(spent + minutes, 1)
                save(arguments.out, read(arguments.out) | {name: part}, compute)
                if name != "hostile" and minutes > arguments.minutes:
                    break
            print(name, {key: part.get(key) for key in ("done", "kills", "totals", "minutes")}, len(part["faults"]))


if __name__ == "__main__":
    main()
