#!/usr/bin/env python3
"""Make the golden folders of format 1: tiny runs as lowland 0.1.0 wrote them, which later versions must still open.

A record of how they were made, not a script of today: its imports and keys are those of lowland at commit de106eb, the
last before the rooms of today, and it runs with that package alone:

    mkdir -p build/format-1 && git archive de106eb src | tar -x -C build/format-1
    OMP_NUM_THREADS=1 PYTHONPATH=build/format-1/src python scripts/make_golden.py FOLDER

FOLDER (default: tests/golden/format-1) must not exist. It then holds

- `images.npz`, `truth.csv`: made-up data, and made-up accuracies of 12 architectures;
- `evolution/`, `pareto/`, `racing/`: finished runs;
- `darts-interrupted/`: a run stopped in the middle of its search;
- `rank/`: what `lowland rank` writes;
- `expected.json`: what they hold, and what resuming the interrupted one ends in.

Runs keep the absolute path of their data, so all is made in /tmp/lowland-golden, which names no machine, and moved;
`tests/golden/relocate.py` makes copies that find their data. The same lowland, torch and processor give the same
`expected.json`; times differ. A lowland that writes another format refuses: golden folders are never made anew.
"""

from __future__ import annotations

import argparse
import getpass
import json
import re
import shutil
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from lowland.config import ComputeConfig
from lowland.device import environment, resolve
from lowland.errors import InterruptedRun
from lowland.files import sha256, write_json
from lowland.monitor import Monitor
from lowland.presets import assemble

from lowland import manifest, pipeline, rank, seeds, spaces

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from golden.relocate import DATA, MADE_AT, relocated

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "tests" / "golden" / "format-1"
HOME = Path(MADE_AT)
FORMAT = 1
LARGEST = 3_000_000
"""Bytes of all golden files together, at most."""

Values = dict[str, Any]

CLASSES = ("crosses", "rows", "columns")
SIDE = 8
IMAGES = {"train": 180, "test": 60}
TRUTH = "truth.csv"
ARCHITECTURES = 12

COMMON: Values = {
    "seed": 11,
    "data": {"name": str(HOME / DATA), "search_fraction": 0.4},
    "supernet": {"channels": 2, "cells": 1, "epochs": 2, "batch_size": 32},
    "measure": {"calibration_images": 64, "draws": 2, "untrained_batch": 16},
    "search": {"population": 6, "generations": 2, "parents": 2, "mutations": 3, "crossovers": 2, "workers": 1},
    "network": {"channels": 2, "cells": 1},
    "retrain": {"epochs": 1, "warmup_epochs": 0.0, "batch_size": 32},
    "evaluate": {
        "corruptions": ["gaussian_noise", "contrast"],
        "severities": [1, 5],
        "corruption_images": 30,
        "random_genotypes": 1,
        "curve_sigmas": [0.0, 0.01, 0.04],
        "curve_draws": 2,
        "curve_images": 40,
    },
    "compute": {"device": "cpu", "threads": 1},
}
"""Settings of a run of a few seconds; precision is `auto`."""

EVOLUTION: Values = {
    "measure": {"name": "flatness+angle+macs+naswot", "combine": "log-rank"},
    "retrain": {"top": 2},
}
PARETO: Values = {
    "preset": "flatnas",
    "space": "mobilenetv3-small",
    "measure": {"images": 48, "robustness_draws": 3},
    "finetune": {"epochs": 1, "batch_size": 32},
    "search": {"initial": 8, "iterations": 2, "proposals": 2, "inner_population": 8, "inner_generations": 4},
}
RACING: Values = {
    "preset": "paper+compat",
    "supernet": {"epochs": 12, "batch_size": 16, "learning_rate": 0.1},  # the candidates must differ in accuracy
    "measure": {"name": "accuracy+flatness"},
    "search": {
        "generations": 3,
        "racing": 0.45,
        "shortlist": 3,
        "shortlist_measure": "perturbed_accuracy(draws=4)",
        "finalists": 2,
        "finalist_epochs": 1,
    },
    "retrain": {"batch_size": 8},
}
DARTS: Values = {
    "space": "darts",
    "supernet": {"cells": 2},
    "network": {"cells": 2},
    "compute": {"precision": "fp32"},
}

FINISHED: dict[str, Values] = {"evolution": EVOLUTION, "pareto": PARETO, "racing": RACING}
INTERRUPTED = "darts-interrupted"
RANKING = "rank"
SCORED = 8
"""Candidates scored before the interrupted run stops: the first generation and a part of the second."""

QUESTION = rank.Question(
    truth=HOME / TRUTH,
    measures=("accuracy", "angle", "flatness(alpha=0)", "angle+flatness"),
    rank_sums=(("accuracy", "angle"),),
    log_rank_sums=(("angle", "flatness(alpha=0)"),),
    resamples=60,
)


class Stopping(Monitor):
    """Asks for a stop as soon as the search has scored `candidates`."""

    def __init__(self, candidates: int) -> None:
        self.candidates = candidates
        self.stage = ""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Note which stage begins."""
        self.stage = stage

    def advance(self, done: int, **facts: Any) -> None:
        """Ask for a stop where the search has come far enough."""
        self.stopping = self.stage == "search" and done >= self.candidates


def write_images(path: Path) -> None:
    """Noisy rows, columns and crosses of both, with labels: 8 × 8, grey."""
    rng = seeds.numpy_rng(0, "golden images")
    arrays = {}
    for part, number in IMAGES.items():
        labels_N = np.arange(number) % len(CLASSES)
        x_NHW = rng.normal(100.0, 30.0, (number, SIDE, SIDE))
        for image_HW, label in zip(x_NHW, labels_N, strict=True):
            row, column = rng.integers(SIDE, size=2)
            if CLASSES[label] != "columns":
                image_HW[row] += 90.0
            if CLASSES[label] != "rows":
                image_HW[:, column] += 90.0
        arrays[f"x_{part}"] = np.clip(np.rint(x_NHW), 0, 255).astype(np.uint8)
        arrays[f"y_{part}"] = np.array([CLASSES[label] for label in labels_N])
    np.savez_compressed(path, allow_pickle=False, **arrays)


def write_truth(path: Path) -> None:
    """Architectures that differ in function, with accuracies that are made up: drawn, not measured or copied."""
    space, rng = spaces.get("nasbench201"), seeds.numpy_rng(0, "golden truth")
    found: dict[str, str] = {}
    while len(found) < ARCHITECTURES:
        genotype = space.sample(rng)
        found.setdefault(space.key(genotype), space.format(genotype))
    lines = [f"{text},{rng.uniform(80, 95):.3f},{rng.uniform(40, 60):.3f}" for text in found.values()]
    path.write_text("\n".join(["arch,test_acc,corrupt_mean", *lines]) + "\n")


def make() -> None:
    """Make data, runs and ranking in `HOME`."""
    HOME.mkdir()
    write_images(HOME / DATA)
    write_truth(HOME / TRUTH)
    for name, values in FINISHED.items():
        pipeline.run(assemble(COMMON, values), HOME / name)
    if not json.loads((HOME / "racing" / "search.json").read_text())["summary"]["raced_out"]:
        raise SystemExit("racing ruled nothing out")
    try:
        pipeline.run(assemble(COMMON, DARTS), HOME / INTERRUPTED, monitor=Stopping(SCORED))
    except InterruptedRun:
        pass
    else:
        raise SystemExit(f"{INTERRUPTED} was not interrupted")
    rank.rank(QUESTION, HOME / RANKING, [COMMON])


def clean() -> None:
    """Fold the logs of archives in, and take the name of this machine out of the lock files."""
    for archive in HOME.rglob(manifest.ARCHIVE):
        before = sha256(archive)
        with closing(sqlite3.connect(archive)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if sha256(archive) != before:
            raise SystemExit(f"{archive} was not complete without its log")
    for file in HOME.rglob(manifest.LOCK):
        file.write_text(json.dumps({"pid": 1, "host": "golden"}))


def check(folder: Path) -> None:
    """Stop where files are left over, or name this machine, its user or a folder of it, or are too large."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    left = [path for path in files if path.name.endswith(("-wal", "-shm", ".tmp"))]
    if left:
        raise SystemExit(f"left over: {left}")
    places = {str(place) for place in (Path.home(), Path.cwd(), ROOT, Path(sys.prefix), folder.absolute())} - {"/"}
    names = {socket.gethostname(), getpass.getuser()} - {"root"}  # which is a setting, too
    for path in files:
        content = path.read_bytes().decode("latin-1")
        found = [place for place in places if f"{place}/" in content]
        if path.suffix in (".json", ".yaml", ".html", ".csv", "") and path.name != manifest.ARCHIVE:
            found += [name for name in names if re.search(rf"\b{re.escape(name)}\b", content)]
        if found:
            raise SystemExit(f"{path} names {found}")
    size = sum(path.stat().st_size for path in files)
    if size > LARGEST:
        raise SystemExit(f"{size:,} bytes are more than {LARGEST:,}")
    print(f"{len(files)} files, {size:,} bytes")


def archived(path: Path) -> list[Values]:
    """Key, value and status of every row of an archive, as recorded, by the identity of the measure."""
    groups: dict[str, list[Values]] = {}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
        query = "SELECT measure, key, value, status FROM candidates ORDER BY id"
        for measure, key, value, status in connection.execute(query):
            groups.setdefault(measure, []).append({"key": key, "value": value, "status": status})
    return [{"measure": measure, "count": len(rows), "rows": rows} for measure, rows in groups.items()]


def held(run: Path) -> Values:
    """What a run holds: the order of its candidates, its networks and its archive."""
    facts = json.loads((run / manifest.MANIFEST).read_text())
    stages = {name: stage["status"] for name, stage in facts["stages"].items()}
    searched = run / "search.json"
    ranking = json.loads(searched.read_text())["ranking"] if searched.exists() else []
    networks = sorted(run.rglob("network.safetensors"))
    return {
        "stages": stages,
        "winner": ranking[0]["genotype"] if ranking else None,
        "ranking": [{"genes": entry["genes"], "value": entry["value"]} for entry in ranking],
        "networks": {path.parent.relative_to(run).as_posix(): sha256(path) for path in networks},
        "archive": archived(run / manifest.ARCHIVE),
    }


def ranked(folder: Path) -> Values:
    """What a ranking holds: its scores, how well they agree with the truth, and its archive."""
    document = json.loads((folder / rank.RESULT).read_text())
    return {
        "tau": {
            row["name"]: {column: facts["all"]["tau"]["value"] for column, facts in row["truth"].items()}
            for row in document["measures"]
        },
        "genotypes": [{name: entry[name] for name in ("genes", "scores")} for entry in document["genotypes"]],
        "archive": archived(folder / manifest.ARCHIVE),
    }


def resumed(run: Path) -> Values:
    """What a copy of the run `run` holds once it is resumed to its end."""
    copy = relocated(run, HOME / "resumed")
    pipeline.resume(copy)
    return held(copy)


def main() -> None:
    """Make everything, move it to the target and write what is expected of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", nargs="?", type=Path, default=TARGET, help="folder to make")
    target: Path = parser.parse_args().target
    if manifest.FORMAT != FORMAT:
        raise SystemExit(f"this lowland writes format {manifest.FORMAT}; check out one that writes format {FORMAT}")
    for folder in (target, HOME):
        if folder.exists():
            raise SystemExit(f"{folder} exists; delete it, or move it away")
    try:
        make()
        clean()
        shutil.copytree(HOME, target)
        runs = {name: held(target / name) for name in (*FINISHED, INTERRUPTED)}
        runs[INTERRUPTED]["resumed"] = resumed(target / INTERRUPTED)
    finally:
        shutil.rmtree(HOME, ignore_errors=True)
    expected = {
        "format": FORMAT,
        "made_with": environment(resolve(ComputeConfig.model_validate(COMMON["compute"]))),
        "runs": runs,
        "rank": ranked(target / RANKING),
    }
    write_json(target / "expected.json", expected)
    check(target)


if __name__ == "__main__":
    main()
