"""Time and memory of `lowland report` for a search of very many candidates.

A tiny DARTS supernet is trained; then the archive gets N made-up candidates, each with the genotype, size and details
of a real one (the default order of seven measures), as a random search of that length would leave it. Every report is
made in a process of its own, whose wall time and largest resident memory are measured, imports included;
`imports` is a process that only imports what the report needs, and so is what no report can be below.

- `places`: the archive as it is written today, with the order of the finished search.
- `before`: the same without it, as older versions left it, so that the order is computed by the report, which imports
  the space, and so torch.

    python benchmarks/report_load.py
    python benchmarks/report_load.py --candidates 20000 --keep FOLDER
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from common import RESULTS, save
from lowland import spaces
from lowland.core.device import resolve
from lowland.search import Archive, Candidate, checksums, places
from lowland.search.aggregation import aggregated
from lowland.store.artifacts import Ranked, Searched
from lowland.store.run import ARCHIVE, Run
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble

SETTINGS: dict[str, Any] = {
    "space": "darts",
    "data": {"name": "digits", "limit": 200},
    "supernet": {"channels": 4, "cells": 2, "epochs": 1},
    "network": {"channels": 4, "cells": 2},
    "measure": {"calibration_images": 64, "images": 40},
    "search": {"finalists": 0, "strategy": "random", "options": {"random": {"candidates": 4}}},
    "compute": {"threads": 1},
}
"""A run of a few seconds; its real candidates lend the others their details."""

REPORT = "from lowland.workflow import reporting; reporting.report(sys.argv[1])"
IMPORTS = "import lowland.workflow.reporting, lowland.report.figures.plots, jinja2"
MEASURED = """
import json, resource, sys
from pathlib import Path
{code}
used = resource.getrusage(resource.RUSAGE_SELF)
peak = used.ru_maxrss if sys.platform == "darwin" else 1024 * used.ru_maxrss
if Path("/proc/self/status").exists():
    # Linux hands the largest memory of the process that started this one on to it; this figure begins anew.
    (line,) = [each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith("VmHWM")]
    peak = 1024 * int(line.split()[1])
print(json.dumps({{"processor_seconds": used.ru_utime + used.ru_stime, "megabytes": peak / 1e6}}))
"""
"""What a measured process does: its code, and then it tells what it took."""


def made(folder: Path, count: int, *, with_places: bool) -> Path:
    """A run whose search scored `count` made-up candidates."""
    path = folder / f"run-{count}-{'places' if with_places else 'before'}"
    if (path / "search.json").exists():
        return path
    pipeline.run(assemble(SETTINGS), path, last="search")
    with Run.open(path) as run:
        searched = Searched.read(run)
        assert searched.measure is not None
        with Archive(path / ARCHIVE) as archive:
            real = archive.candidates(searched.measure)
        run.reset_stage("search")
        run.start_stage("search")
        candidates = made_up(real, count)
        (path / ARCHIVE).unlink(missing_ok=True)
        final = aggregated(candidates, "log-rank")
        fill(path / ARCHIVE, candidates)
        space = spaces.get("darts")
        with Archive(path / ARCHIVE) as archive:
            if with_places:
                places.keep(archive, places.finished(space, candidates, final, []))
        record(run, searched, candidates, final)
        run.finish_stage("search", [ARCHIVE], {"proposed": count, "failed": 0, "raced_out": 0})
    return path


def made_up(real: list[Candidate], count: int) -> list[Candidate]:
    """Random genotypes of distinct functions, with details of real ones at other values."""
    space, rng = spaces.get("darts"), np.random.default_rng(0)
    found: dict[str, Candidate] = {}
    while len(found) < count:
        genotype = space.sample(rng)
        key = space.key(genotype)
        like = real[len(found) % len(real)]
        scale = rng.normal(1.0, 0.1)
        details = {
            label: {**part, "value": part["value"] * scale * rng.normal(1.0, 0.05)}
            for label, part in like.details.items()
        }
        value = sum(part["value"] * part["weight"] for part in details.values())
        found[key] = Candidate(
            genotype=genotype, key=key, measure=like.measure, generation=0, origin="random", status="scored",
            value=value, details=details, parameters=int(like.parameters * scale), macs=int(like.macs * scale),
            seconds=0.5, created="2026-01-01T00:00:00.000+00:00",
        )  # fmt: skip
    return list(found.values())


def fill(path: Path, candidates: list[Candidate]) -> None:
    """The rows that recording one after the other would make, in one transaction."""
    with Archive(path) as archive:
        archive.record(candidates[0])
    with closing(sqlite3.connect(path)) as connection, connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(candidates)")][1:]
        rows = ([_cell(each, name) for name in names] for each in candidates[1:])
        connection.executemany(
            f"INSERT INTO candidates ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows
        )
        checksums.seal(connection)


def _cell(candidate: Candidate, name: str) -> Any:
    if name == "space":
        return candidate.genotype.space
    if name == "genes":
        return ",".join(map(str, candidate.genotype.genes))
    return json.dumps(dict(candidate.details)) if name == "details" else getattr(candidate, name)


def record(run: Run, searched: Searched, candidates: list[Candidate], final: list[Candidate]) -> None:
    """search.json as the search would have written it."""
    space = spaces.get("darts")
    names = ("generation", "origin", "parameters", "macs")
    Searched(
        ranking=tuple(
            Ranked(
                genotype=space.format(each.genotype),
                genes=tuple(each.genotype.genes),
                parameters=each.parameters,
                macs=each.macs,
                value=each.value,
                standard_error=None,
                details=each.details,
                place=place,
            )
            for place, each in enumerate(final[:100], start=1)
        ),
        candidates=tuple(
            {"genes": list(each.genotype.genes)} | {name: getattr(each, name) for name in names} for each in candidates
        ),
        summary={**searched.summary, "proposed": len(candidates), "scored": len(candidates)},
        measure=searched.measure,
        images=searched.images,
        combine="log-rank",
        space_size=searched.space_size,
        cells=searched.cells,
        objectives=searched.objectives,
        scored_by=searched.scored_by,
    ).write(run)


def measured(code: str, *arguments: str) -> dict[str, float]:
    """Wall and processor time (seconds) and largest resident memory (MB) of a Python process."""
    began = time.perf_counter()
    program = [sys.executable, "-c", MEASURED.format(code=code), *arguments]
    told = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - began
    found = json.loads(told.splitlines()[-1])
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(found["processor_seconds"], 2),
        "megabytes": round(found["megabytes"]),
    }


def main() -> None:
    """Measure, and write results/report_load.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="where to leave the runs that were made, or find those of before")
    parser.add_argument("--out", type=Path, default=RESULTS / "report_load.json")
    given = parser.parse_args()
    compute = resolve(assemble(SETTINGS).compute)
    results: dict[str, Any] = {"candidates": given.candidates, "rounds": given.rounds, "reports": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        runs = {
            "few": made(folder, 100, with_places=True),
            "places": made(folder, given.candidates, with_places=True),
            "before": made(folder, given.candidates, with_places=False),
        }
        results["archive_megabytes"] = round((runs["places"] / ARCHIVE).stat().st_size / 1e6)
        results["imports"] = [measured(IMPORTS) for _ in range(given.rounds)]
        for name, path in runs.items():
            results["reports"][name] = [measured(REPORT, str(path)) for _ in range(given.rounds)]
        results["page_kilobytes"] = round((runs["places"] / "report.html").stat().st_size / 1e3)
        print(json.dumps(results, indent=1))
    save(given.out, results, compute)


if __name__ == "__main__":
    main()
