"""Accuracy under corruption against a direct count."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from lowland.data import MemorySplit, corrupt
from lowland.device import Compute
from lowland.errors import ConfigError, DataError
from lowland.evaluation import corruption_accuracy

CPU = Compute(device=torch.device("cpu"), channels_last=False)
NAMES = ["gaussian_noise", "contrast"]


class Brightness(nn.Module):
    """Names the class by mean brightness; `offset` makes a worse one."""

    def __init__(self, offset: float) -> None:
        super().__init__()
        self.offset = offset

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        mean_N = x_NCHW.mean(dim=(1, 2, 3)) + self.offset
        return -(mean_N[:, None] - torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])).abs()


def scaled(x: torch.Tensor) -> torch.Tensor:
    return x.float() / 255


@pytest.fixture(scope="module")
def split() -> MemorySplit:
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(37) % 5
    level = 25 + 51 * labels + torch.randint(-20, 21, (37,), generator=generator)
    images = (level[:, None, None, None] + torch.randint(-25, 26, (37, 3, 16, 16), generator=generator)).clamp(0, 255)
    return MemorySplit(images.to(torch.uint8), labels)


def evaluate(split: MemorySplit, **given: object) -> dict[str, dict[str, object]]:
    options: dict[str, object] = {"names": NAMES, "severities": [1, 5], "seed": 3, "batch_size": 10} | given
    models = {"good": Brightness(0.0), "worse": Brightness(0.15)}
    return corruption_accuracy(models, split, scaled, CPU, **options)  # type: ignore[arg-type]


def test_equals_a_direct_count_on_all_images_at_once(split: MemorySplit) -> None:
    found = evaluate(split)
    for key, model in (("good", Brightness(0.0)), ("worse", Brightness(0.15))):
        hits = []
        for name in NAMES:
            for severity in (1, 5):
                shifted = corrupt(split.images(torch.arange(37)), name, severity, seed=3)
                hits.append((model(scaled(shifted)).argmax(1) == split.labels_N).double())
                assert found[key]["by"][name][severity] == pytest.approx(100 * float(hits[-1].mean()))  # type: ignore[index]
        own_N = 100 * torch.stack(hits).mean(0)
        assert found[key]["mean"] == pytest.approx(float(own_N.mean()))
        assert found[key]["standard_error"] == pytest.approx(float(own_N.std()) / math.sqrt(37))
        assert found[key]["n"] == 37
        assert found[key]["severities"] == [1, 5]
    assert found["good"]["mean"] > found["worse"]["mean"]  # type: ignore[operator]


def test_does_not_depend_on_the_batch_size_and_counts_progress(split: MemorySplit) -> None:
    seen: list[tuple[int, int]] = []
    assert evaluate(split) == evaluate(split, batch_size=7, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 24) for done in range(1, 25)]


def test_the_limit_takes_the_first_images(split: MemorySplit) -> None:
    part = MemorySplit(split.images(torch.arange(12)), split.labels_N[:12])
    assert evaluate(split, limit=12) == evaluate(part)
    assert evaluate(split, limit=1)["good"]["standard_error"] is None


def test_bad_requests(split: MemorySplit) -> None:
    with pytest.raises(ConfigError, match=r"unknown corruption 'rain'; known are"):
        evaluate(split, names=["contrast", "rain"])
    with pytest.raises(ConfigError, match="at least one"):
        evaluate(split, severities=[])
    with pytest.raises(DataError, match="no test images"):
        evaluate(MemorySplit(torch.zeros(0, 3, 16, 16, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)))
