"""Accuracy under corruption against a direct count."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lowland.core.device import Compute
from lowland.core.errors import ConfigError, DataError
from lowland.data import STANDARD, CorruptedImages, MemorySplit, corrupt
from lowland.data.corruptions.images import Generated
from lowland.evaluation.shift import corruptions as shift
from lowland.evaluation.shift.corruptions import ALEXNET_ERROR, alexnet_normalised, corruption_accuracy

CPU = Compute(device=torch.device("cpu"), channels_last=False)
GPU = Compute(device=torch.device("cuda"))
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


class Corrupted(CorruptedImages):
    """A split corrupted with seed 3."""

    def __init__(self, split: MemorySplit) -> None:
        self.split, self.labels_N = split, split.labels_N

    def images(self, name: str, severity: int, start: int, stop: int) -> torch.Tensor:
        return corrupt(self.split.images(torch.arange(start, stop)), name, severity, seed=3, start=start)


def evaluate(split: MemorySplit, **given: object) -> dict[str, dict[str, object]]:
    options: dict[str, object] = {"names": NAMES, "severities": [1, 5], "batch_size": 10} | given
    models = {"good": Brightness(0.0), "worse": Brightness(0.15)}
    corrupted = options.pop("corrupted", Corrupted(split))
    return corruption_accuracy(models, corrupted, scaled, CPU, **options)  # type: ignore[arg-type]


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
        errors = [100 * (1 - torch.stack(hits[first : first + 2]).mean(0)) for first in (0, 2)]
        for name, group, error_N in zip(NAMES, ("noise", "digital"), errors, strict=True):
            expected = {
                "error": pytest.approx(float(error_N.mean())),
                "standard_error": pytest.approx(float(error_N.std()) / math.sqrt(37)),
            }
            assert found[key]["corruption_errors"][name] == expected  # type: ignore[index]
            assert found[key]["group_errors"][group] == expected | {"corruptions": [name]}  # type: ignore[index]
        assert found[key]["mean_corruption_error"] == pytest.approx(100 - found[key]["mean"])  # type: ignore[operator]
        assert found[key]["normalised_error"] is None
    assert found["good"]["mean"] > found["worse"]["mean"]  # type: ignore[operator]


def test_does_not_depend_on_the_batch_size_and_counts_progress(split: MemorySplit) -> None:
    seen: list[tuple[int, int]] = []
    assert evaluate(split) == evaluate(split, batch_size=7, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 24) for done in range(1, 25)]


def test_beside_a_gpu_threads_make_the_same_images_ahead(split: MemorySplit, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [shift.makers(replace(CPU, threads=16)), shift.makers(replace(GPU, threads=1))] == [0, 1]
    assert shift.makers(replace(GPU, threads=16)) == shift.MOST_MAKERS
    data = SimpleNamespace(
        name="shades", test=split, unresized_test=None, image_size=16, fit="squash", fingerprint="", content=""
    )
    expected = evaluate(split, corrupted=Generated(data, 3))  # type: ignore[arg-type]
    assert expected == evaluate(split)
    seen: set[str] = set()

    class Watched(Generated):
        def images(self, name: str, severity: int, start: int, stop: int) -> torch.Tensor:
            seen.add(threading.current_thread().name)
            time.sleep(0.01)
            return super().images(name, severity, start, stop)

    monkeypatch.setattr(shift, "makers", lambda compute: 3)
    assert evaluate(split, corrupted=Watched(data, 3), batch_size=5) == expected  # type: ignore[arg-type]
    assert len(seen) > 1


def test_the_limit_takes_the_first_images(split: MemorySplit) -> None:
    part = MemorySplit(split.images(torch.arange(12)), split.labels_N[:12])
    assert evaluate(split, limit=12) == evaluate(part)
    assert evaluate(split, limit=1)["good"]["standard_error"] is None


def test_bad_requests(split: MemorySplit) -> None:
    with pytest.raises(ConfigError, match=r"options.corruptions.names: no corruption is called 'rain'; .*known are"):
        evaluate(split, names=["contrast", "rain"])
    with pytest.raises(ConfigError, match="at least one"):
        evaluate(split, severities=[])
    with pytest.raises(DataError, match="no test images"):
        evaluate(MemorySplit(torch.zeros(0, 3, 16, 16, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64)))


def test_a_groups_error_is_the_mean_over_its_corruptions(split: MemorySplit) -> None:
    names = ["brightness", "fog", "contrast", "saturate"]
    found = evaluate(split, names=names)["worse"]
    errors = {name: found["corruption_errors"][name]["error"] for name in names}  # type: ignore[index]
    groups = found["group_errors"]
    assert list(groups) == ["weather", "digital", "extra"]  # type: ignore[call-overload]
    assert groups["weather"]["error"] == pytest.approx((errors["brightness"] + errors["fog"]) / 2)  # type: ignore[index]
    assert groups["weather"]["corruptions"] == ["brightness", "fog"]  # type: ignore[index]
    assert found["mean_corruption_error"] == pytest.approx(sum(errors.values()) / 4)


def test_alexnet_has_a_normalised_error_of_100() -> None:
    assert tuple(ALEXNET_ERROR) == STANDARD
    own = {name: 100 * share for name, share in ALEXNET_ERROR.items()}
    assert alexnet_normalised(own) == pytest.approx(100)
    assert alexnet_normalised({name: error / 2 for name, error in own.items()} | {"saturate": 1.0}) == pytest.approx(50)
    better = own | {"fog": 0.0}
    assert alexnet_normalised(better) == pytest.approx(100 * 14 / 15)
    with pytest.raises(ConfigError, match="fog is missing"):
        alexnet_normalised({name: 1.0 for name in STANDARD if name != "fog"})


class Shown(CorruptedImages):
    """Plain images of any size."""

    def __init__(self, size: int) -> None:
        self.size, self.labels_N = size, torch.tensor([0, 1])

    def images(self, name: str, severity: int, start: int, stop: int) -> torch.Tensor:
        return torch.zeros(stop - start, 3, self.size, self.size, dtype=torch.uint8)


class Constant(nn.Module):
    """Names class 0 of so many."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return torch.eye(self.classes)[torch.zeros(len(x_NCHW), dtype=torch.long)]


@pytest.mark.parametrize(
    ("classes", "size", "names", "severities", "there"),
    [
        (1000, 224, STANDARD, (1, 2, 3, 4, 5), True),
        (1000, 224, (*STANDARD, "spatter"), (5, 4, 3, 2, 1), True),
        (1000, 64, STANDARD, (1, 2, 3, 4, 5), False),
        (100, 224, STANDARD, (1, 2, 3, 4, 5), False),
        (1000, 224, STANDARD, (1, 5), False),
        (1000, 224, STANDARD[:14], (1, 2, 3, 4, 5), False),
    ],
)
def test_the_normalised_error_is_reported_for_imagenet_alone(
    classes: int, size: int, names: tuple[str, ...], severities: tuple[int, ...], there: bool
) -> None:
    model = {"network": Constant(classes)}
    found = corruption_accuracy(model, Shown(size), scaled, CPU, names=names, severities=severities, batch_size=2)
    half = sum(0.5 / share for share in ALEXNET_ERROR.values()) / 15 * 100
    assert found["network"]["normalised_error"] == (pytest.approx(half) if there else None)
