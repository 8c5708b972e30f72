"""Batch norm from augmented batches of 64, as the public code of RLNAS and GeNAS re-estimates it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lowland.core.monitor import Monitor
from lowland.store.run import Run
from lowland.workflow.session import Session
from whole_runs import made

SETTINGS: dict[str, Any] = {
    "data": {"name": "digits", "limit": 400, "flip": True},
    "measure": {"name": "accuracy", "combine": "sum", "calibration": "ema-14-augmented", "calibration_images": 160},
}


def test_augmented_batches_serve_batch_norm_alone(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SETTINGS, last="search")
    with Run.open(run, read_only=True) as opened:
        first, again = (Session(opened, Monitor()).context for _ in range(2))
        assert [len(x) for x, _ in first.augmented] == [64, 64, 32]
        plain = torch.cat([x for x, _ in first.calibration])
        changed = torch.cat([x for x, _ in first.augmented])
        assert plain.shape == changed.shape
        assert not torch.equal(plain, changed)
        assert torch.equal(torch.cat([y for _, y in first.calibration]), torch.cat([y for _, y in first.augmented]))
        assert torch.equal(changed, torch.cat([x for x, _ in again.augmented])), "a function of the seed"


def test_nothing_is_augmented_unless_asked_for(tmp_path: Path) -> None:
    other = SETTINGS | {"measure": SETTINGS["measure"] | {"calibration": "ema-14"}}
    with Run.open(made(tmp_path / "run", other, last="search"), read_only=True) as opened:
        assert not Session(opened, Monitor()).context.augmented
