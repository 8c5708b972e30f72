"""Options of the suites of dense tasks, as Python and the command line ask for them: one builder for each suite.

An option that is None keeps the suite's default (`workflow.dense.study`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict, Unpack


class Trainings(TypedDict):
    """What both suites are asked: how the model is learnt, and how often."""

    preset: str
    epochs: float | None
    steps: int | None
    batch_size: int | None
    seed: int | None
    seeds: int
    scratch: bool


def detection(coco: Path | str, **trainings: Unpack[Trainings]) -> dict[str, Any]:
    """Settings of the suite `detection`."""
    return {"coco": str(coco), **trainings}


def segmentation(
    dataset: str, root: Path | str, output_stride: int | None, **trainings: Unpack[Trainings]
) -> dict[str, Any]:
    """Settings of the suite `segmentation`."""
    return {"dataset": dataset, "root": str(root), "output_stride": output_stride, **trainings}
