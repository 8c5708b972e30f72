"""A study's folder: what is done is kept, what is damaged is done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lowland.core.device import Compute
from lowland.core.errors import RunError
from lowland.core.monitor import Monitor
from lowland.evaluation.dense.study import Study
from lowland.training.task import Task, TaskRecipe

CPU = Compute(device=torch.device("cpu"), channels_last=False)


class Ones(Task[Tensor]):
    """Learn to say one."""

    name = "ones"
    images = 4

    def __init__(self) -> None:
        self.batches = 0

    def batch(self, indices: Sequence[int], seed: int, step: int) -> Tensor:
        self.batches += 1
        return torch.tensor([[float(index)] for index in indices])

    def losses(self, model: nn.Module, batch: Tensor, compute: Compute) -> Mapping[str, Tensor]:
        return {"error": (model(batch) - 1).square().mean()}

    def judge(self, model: nn.Module, compute: Compute, monitor: Monitor) -> Mapping[str, float]:
        return {"value": float(model(torch.zeros(1, 1)).detach())}


def study(root: Path, *, folder: str = "ones", **decided: str) -> Study:
    def build(seed: int) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Linear(1, 1)

    return Study(
        task=Ones(),
        recipe=TaskRecipe(steps=3, batch_size=2),
        build=build,
        decided_by=decided,
        root=root,
        folder=folder,
        compute=CPU,
        checkpoint_seconds=60.0,
        monitor=Monitor(),
    )


@pytest.mark.parametrize("folder", ["ones", ""])
def test_what_is_done_is_kept(tmp_path: Path, folder: str) -> None:
    first = study(tmp_path, folder=folder)
    found = first.outcome(2)
    again = study(tmp_path, folder=folder)
    assert again.outcome(2) == found
    assert again.task.batches == 0  # type: ignore[attr-defined]
    assert float(again.model(2)(torch.zeros(1, 1)).detach()) == found.metrics["value"]
    assert sorted(path.name for path in (tmp_path / folder / "seed-2").iterdir()) == [
        "model.safetensors",
        "outcome.json",
    ]


@pytest.mark.parametrize("name", ["model.safetensors", "outcome.json"])
def test_what_is_damaged_is_done_again(tmp_path: Path, name: str) -> None:
    found = study(tmp_path).outcome(2)
    (tmp_path / "ones" / "seed-2" / name).write_bytes(b"{}")
    again = study(tmp_path)
    assert again.outcome(2).sha256 == found.sha256
    assert again.task.batches == 3  # type: ignore[attr-defined]


def test_what_another_thing_decided_is_not_taken(tmp_path: Path) -> None:
    study(tmp_path, data="a").outcome(2)
    other = study(tmp_path, data="b")
    other.outcome(2)
    assert other.task.batches == 3  # type: ignore[attr-defined]


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "ones").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        study(root).outcome(2)
