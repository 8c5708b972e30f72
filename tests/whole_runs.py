"""Tiny whole runs shared by the end-to-end tests: digits at 8×8, four channels, a search of two generations."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowland.spaces import Space
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble


def evolution(**own: Any) -> dict[str, Any]:
    """Settings of evolution as a section `search`."""
    return {"options": {"evolution": own}}


TINY: dict[str, Any] = {
    "seed": 3,
    "data": {"name": "digits", "limit": 400},
    "supernet": {"channels": 4, "cells": 1, "epochs": 2},
    "search": {"finalists": 0} | evolution(population=4, generations=2, parents=2, mutations=2, crossovers=2),
    "measure": {"calibration_images": 64, "images": 40},
    "network": {"channels": 4, "cells": 1},
    "retrain": {"epochs": 6, "batch_size": 32},
    "evaluate": {
        "suites": ["classification", "corruptions", "landscape"],
        "options": {
            "corruptions": {"names": ["gaussian_noise", "contrast"], "severities": [1, 5], "images": 60},
            "landscape": {"random_genotypes": 1, "sigmas": [0.0, 0.01], "draws": 2, "images": 60},
        },
    },
    "compute": {"threads": 1},
}
"""Settings of a run of two or three seconds."""

DARTS: dict[str, Any] = {"space": "darts", "supernet": {"cells": 2}, "network": {"cells": 2}}


def options(*extra: str) -> list[str]:
    """TINY, but for what `extra` decides, and `extra` as command-line arguments."""
    arguments = []
    decided = {
        "--data": ("data.name", "data.limit"),
        "--seed": ("seed",),
        "--epochs": ("supernet.epochs",),
        "--retrain-epochs": ("retrain.epochs",),
        "--suite": ("evaluate.suites",),
    }
    left_out = {key for option in extra for key in decided.get(option, ())}
    for section, values in TINY.items():
        pairs = {f"{section}.{key}": value for key, value in values.items()} if isinstance(values, dict) else {}
        for key, value in (pairs or {section: values}).items():
            text = json.dumps(value) if isinstance(value, list | dict) else str(value)
            arguments += ["--set", f"{key}={text}"] if key not in left_out else []
    return [*arguments, *extra]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def fault(self) -> str:
        """The one sentence a refused command said."""
        assert self.code == 2, (self.code, self.out, self.err)
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("error: ")


Command = Callable[..., Said]


def made(path: Path, *layers: dict[str, Any], last: str = "report") -> Path:
    """A tiny run at `path`, carried to stage `last`."""
    pipeline.run(assemble(TINY, *layers), path, last=last)
    return path


def copied(run: Path, to: Path) -> Path:
    """A copy of a run directory."""
    shutil.copytree(run, to)
    return to


def judged(run: Path, rank: str = "1") -> dict[str, Any]:
    """What the suites found about one network of a run, `test` and `shift`, as they lie on disk."""
    files = {"test": "classification", "shift": "corruptions"}
    return {name: results(run, suite)["networks"][rank] for name, suite in files.items()}


def results(run: Path, suite: str) -> dict[str, Any]:
    """What a suite found, as it lies on disk."""
    found: dict[str, Any] = json.loads((run / "evaluation" / f"{suite}.json").read_text())["results"]
    return found


def content(folder: Path, but: Sequence[str] = (".lock", "run.log")) -> dict[str, bytes]:
    """Every file of a folder by relative path, but for the lock and the log, which tells of every call."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files if path.name not in but}


def lasting(folder: Path) -> dict[str, bytes]:
    """`content` without what differs each time the same is done: the times that cards tell, and their sums of those."""
    found = content(folder)
    for name in found:
        if name.endswith("README.md"):
            card, times = re.subn(rb"(?<=Wall time: )[^\n]+", b"", found[name])
            found[name], sums = re.subn(rb"[0-9a-f]{16}(?= -->\n\Z)", b"", card)
            assert (times, sums) == (1, 1), name
    return found


def made_up_truth(path: Path, space: Space, size: int, seed: int) -> Path:
    """A truth file of random genotypes with made-up accuracies, each of its own isomorphism class."""
    rng = np.random.default_rng(seed)
    found: dict[str, str] = {}
    while len(found) < size:
        genotype = space.sample(rng)
        found.setdefault(space.key(genotype), space.format(genotype))
    lines = [f"{text},{90 + rng.random():.4f},{50 + 5 * rng.random():.4f}" for text in found.values()]
    path.write_text("\n".join(["arch,test_acc,corrupt_mean", *lines]) + "\n")
    return path
