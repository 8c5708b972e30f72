"""What the papers' tables share: scales, data, and the published figure beside ours with its n and interval."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import flatnas_matrix
import genas_tables
from common import RESULTS, SHARED, cifar10_npz, imagenette, interval, read, save
from lowland.core.config import Config
from lowland.store.manifest import MANIFEST
from lowland.workflow import pipeline

__all__ = [
    "PAPER",
    "SHARED",
    "beside",
    "carried",
    "cifar10_npz",
    "flatnas_matrix",
    "genas_tables",
    "imagenette",
    "interval",
    "parser",
    "read",
    "save",
]
"""Also what the scripts need of the folder above, which is found once this module is imported."""

PAPER = RESULTS / "paper"
SCALES = ("small", "published")


def parser(text: str | None, work: str) -> argparse.ArgumentParser:
    """The options that all have."""
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--scale", choices=SCALES, default="small", help="two cores, or the paper's own")
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--work", type=Path, default=Path("runs") / "paper" / work, help="folder of the runs")
    made.add_argument("--out", type=Path, default=PAPER, help="folder of the results")
    return made


def carried(config: Config, folder: Path, last: str) -> Path:
    """Carry a run to a stage, from the beginning or from where it stopped."""
    if (folder / MANIFEST).exists():
        pipeline.resume(folder, last=last)
    else:
        pipeline.run(config, folder, last=last)
    return folder


def beside(values: Sequence[float], published: float | None, differs: str) -> dict[str, Any]:
    """A figure: ours with n and interval, the published one, whether the interval holds it, and what differs."""
    found = interval(list(values))
    inside = None
    if published is not None and "low" in found:
        inside = bool(found["low"] <= published <= found["high"])
    return {
        "values": list(values),
        **found,
        "published": published,
        "published_in_interval": inside,
        "differs": differs,
    }
