"""ImageNet-C, CIFAR-10-C, CIFAR-100-C and CIFAR-10.1 on tiny sets in the official layouts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lowland.core.config import Config, EvaluateConfig
from lowland.core.errors import ConfigError, DataError
from lowland.data import STANDARD
from lowland.data.shift import CIFAR10, cifar100, wnids
from lowland.evaluation.suite import suite
from lowland.testing.evaluation import Parts
from published_sets import Reader, cifar_arrays, context_of, data_of, imagenet_data, picture

LABELS = [3, 10, 17]
NAMES = ["gaussian_noise", "contrast"]
GROUP = {"gaussian_noise": "noise", "contrast": "digital"}


def config(name: str, root: Path | None, **own: Any) -> Config:
    return Config(evaluate=EvaluateConfig(suites=(name,), root=root, options={name: own}))


def judged(asked: Config, data: Any, network: nn.Module, parts: Parts | None = None) -> Any:
    name = asked.evaluate.suites[0]
    of = suite(asked, name)
    of.require(asked, data)
    return of.run({"1": network}, context_of(data, parts, asked.evaluate.root))


# --- ImageNet-C ------------------------------------------------------------------------------------------------------


def imagenet_c(
    root: Path, *, grouped: bool = False, severities: Sequence[int] = range(1, 6), labels: Sequence[int] = LABELS
) -> Path:
    """Pictures that show the right label at severities 1 to 3, and that of class 3 at 4 and 5."""
    for name in NAMES:
        for severity in severities:
            for label in labels:
                folder = root / "imagenet-c" / (GROUP[name] if grouped else "") / name / str(severity) / wnids()[label]
                folder.mkdir(parents=True)
                for place in range(2):
                    shown = picture(label if severity < 4 else 3, (224, 224))
                    shown.save(folder / f"ILSVRC2012_val_{place}.JPEG")
    return root


@pytest.mark.parametrize("grouped", [False, True])
def test_imagenet_c_is_read_with_or_without_folders_of_groups(grouped: bool, tmp_path: Path) -> None:
    asked = config("imagenet-c", imagenet_c(tmp_path, grouped=grouped), names=NAMES)
    found = judged(asked, imagenet_data(LABELS), Reader(LABELS)).networks["1"]
    assert found.n == 6
    for name in NAMES:
        assert found.by[name] == pytest.approx({1: 100.0, 2: 100.0, 3: 100.0, 4: 100 / 3, 5: 100 / 3})
    assert found.errors["contrast"].value == pytest.approx(100 * 2 / 3 * 2 / 5)
    assert found.normalised_error is None


def test_imagenet_c_reaches_networks_of_224_pixels_unresized(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (224, 224, 3), dtype=np.uint8)
    for label in LABELS:
        folder = tmp_path / "imagenet-c" / "fog" / "1" / wnids()[label]
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "a.png")
    seen: list[torch.Tensor] = []

    class Watching(Reader):
        def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
            seen.append(x_NCHW)
            return super().forward(x_NCHW)

    asked = config("imagenet-c", tmp_path, names=["fog"], severities=[1])
    judged(asked, imagenet_data(LABELS, size=224), Watching(LABELS))
    expected = torch.from_numpy(pixels.transpose(2, 0, 1).copy()).float() / 255
    assert torch.allclose(seen[0][0], expected, atol=1e-6)


def test_a_subset_of_classes_is_matched_by_name(tmp_path: Path) -> None:
    asked = config("imagenet-c", imagenet_c(tmp_path, labels=[10, 17]), names=["contrast"], severities=[1])
    found = judged(asked, imagenet_data([17, 3, 10, 30]), Reader([17, 3, 10, 30])).networks["1"]
    assert (found.mean, found.n) == (100.0, 4)


def test_a_part_for_each_corruption_and_severity(tmp_path: Path) -> None:
    asked = config("imagenet-c", imagenet_c(tmp_path), names=NAMES)
    parts = Parts()
    judged(asked, imagenet_data(LABELS), Reader(LABELS), parts)
    assert parts.asked == [f"{name}-{severity}" for name in NAMES for severity in range(1, 6)]


def test_what_is_missing_or_differs_is_said_before_the_first_step(tmp_path: Path) -> None:
    data = imagenet_data(LABELS)
    imagenet_c(tmp_path)

    def refused(**own: Any) -> str:
        asked = config("imagenet-c", tmp_path, **own)
        with pytest.raises((DataError, ConfigError)) as error:
            suite(asked, "imagenet-c").require(asked, data)
        return str(error.value)

    assert "shot_noise was looked for in" in refused()
    assert "no corruption is called 'contrats'" in refused(names=["contrats"])
    assert "names must name at least one" in refused(names=[])
    (tmp_path / "imagenet-c/contrast/2" / wnids()[3] / "ILSVRC2012_val_1.JPEG").unlink()
    assert f"contrast/2 lacks {wnids()[3]}/ILSVRC2012_val_1.JPEG, unlike gaussian_noise/1" in refused(names=NAMES)
    (tmp_path / "imagenet-c/contrast/5").rename(tmp_path / "imagenet-c/contrast/6")
    assert "has no folder 5" in refused(names=NAMES)


# --- CIFAR-10-C and CIFAR-100-C --------------------------------------------------------------------------------------


def cifar_c(root: Path, name: str, classes: int) -> Path:
    """As CIFAR-10-C: five severities after one another; at severity 5 every picture is of class 0."""
    folder = root / name
    folder.mkdir()
    labels = [label % classes for label in range(30)]
    for corruption in STANDARD:
        images = np.concatenate([cifar_arrays(labels if severity < 5 else [0] * 30) for severity in range(1, 6)])
        np.save(folder / f"{corruption}.npy", images)
    np.save(folder / "labels.npy", np.tile(np.array(labels, dtype=np.uint8), 5))
    return root


@pytest.mark.parametrize("order", [1, -1])
def test_cifar_10_c_is_matched_by_name(order: int, tmp_path: Path) -> None:
    """Networks whose classes stand in another order than CIFAR-10's labels are judged right."""
    shown = list(range(10))[::order]
    asked = config("cifar10-c", cifar_c(tmp_path, "CIFAR-10-C", 10), names=NAMES)
    data = data_of([CIFAR10[label] for label in shown], shown, size=32)
    found = judged(asked, data, Reader(shown)).networks["1"]
    assert found.by["contrast"] == {1: 100.0, 2: 100.0, 3: 100.0, 4: 100.0, 5: 10.0}
    assert found.n == 30
    of = suite(asked, "cifar10-c")
    assert [figure.label for figure in of.figures(judged(asked, data, Reader(shown)))["1"]] == ["CIFAR-10-C"]


def test_cifar_100_c_has_its_own_classes(tmp_path: Path) -> None:
    asked = config("cifar100-c", cifar_c(tmp_path, "CIFAR-100-C", 100), severities=[1], names=["fog"])
    shown = list(range(100))
    found = judged(asked, data_of(cifar100(), shown, size=32), Reader(shown)).networks["1"]
    assert (found.mean, found.n) == (100.0, 30)
    asked = config("cifar100-c", tmp_path)
    with pytest.raises(DataError, match="is about 100 classes, apple to worm, but the networks know 10"):
        suite(asked, "cifar100-c").require(asked, data_of(CIFAR10, range(10)))


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([f"item {label}" for label in range(10)], ["CIFAR-10-C: the networks' class 'item 0' is not among airplane"]),
        ([*CIFAR10[:9]], ["is about 10 classes, airplane to truck, but the networks know 9"]),
    ],
)
def test_networks_of_other_classes_are_refused(classes: list[str], words: list[str], tmp_path: Path) -> None:
    asked = config("cifar10-c", cifar_c(tmp_path, "CIFAR-10-C", 10))
    with pytest.raises(DataError) as error:
        suite(asked, "cifar10-c").require(asked, data_of(classes, range(len(classes))))
    assert all(word in str(error.value) for word in words), error.value


def test_a_missing_corruption_is_said(tmp_path: Path) -> None:
    asked = config("cifar10-c", cifar_c(tmp_path, "CIFAR-10-C", 10))
    (tmp_path / "CIFAR-10-C" / "fog.npy").unlink()
    with pytest.raises(DataError, match=r"has no fog.npy.*evaluate.options.cifar10-c.names"):
        suite(asked, "cifar10-c").require(asked, data_of(CIFAR10, range(10)))
    asked = config("cifar10-c", tmp_path / "CIFAR-10-C")
    with pytest.raises(DataError, match="was looked for in"):
        suite(asked, "cifar10-c").require(asked, data_of(CIFAR10, range(10)))


# --- CIFAR-10.1 ------------------------------------------------------------------------------------------------------


def cifar_10_1(folder: Path, version: str = "v6", count: int = 20) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    labels = [label % 10 for label in range(count)]
    np.save(folder / f"cifar10.1_{version}_data.npy", cifar_arrays(labels))
    np.save(folder / f"cifar10.1_{version}_labels.npy", np.array(labels, dtype=np.int32))
    return folder


@pytest.mark.parametrize("within", ["", "CIFAR-10.1/datasets", "cifar-10.1"])
@pytest.mark.parametrize("order", [1, -1])
def test_cifar_10_1_is_found_and_matched_by_name(within: str, order: int, tmp_path: Path) -> None:
    cifar_10_1(tmp_path / within)
    shown = list(range(10))[::order]
    data = data_of([CIFAR10[label] for label in shown], shown, size=32)
    found = judged(config("cifar10.1", tmp_path), data, Reader(shown))
    assert (found.networks["1"].top1.value, found.networks["1"].top1.n) == (100.0, 20)
    assert found.title == "CIFAR-10.1 v6"


def test_v6_is_the_default_and_v4_can_be_asked_for(tmp_path: Path) -> None:
    cifar_10_1(tmp_path, "v6", 20)
    cifar_10_1(tmp_path, "v4", 21)
    data = data_of(CIFAR10, range(10))
    assert judged(config("cifar10.1", tmp_path), data, Reader(range(10))).networks["1"].top1.n == 20
    assert judged(config("cifar10.1", tmp_path, version="v4"), data, Reader(range(10))).networks["1"].top1.n == 21


def test_unfit_arrays_are_refused(tmp_path: Path) -> None:
    data, asked = data_of(CIFAR10, range(10)), config("cifar10.1", cifar_10_1(tmp_path))
    of = suite(asked, "cifar10.1")
    with pytest.raises(DataError, match="trained on 1 channel"):
        of.require(asked, data_of(CIFAR10, range(10), channels=1))
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.arange(20, dtype=np.int32))
    with pytest.raises(DataError, match="must hold classes from 0 to 9"):
        of.require(asked, data)
    np.save(tmp_path / "cifar10.1_v6_labels.npy", np.zeros(3, dtype=np.int32))
    with pytest.raises(DataError, match="must hold 20 whole numbers, one for each image"):
        of.require(asked, data)
    np.save(tmp_path / "cifar10.1_v6_data.npy", np.zeros((20, 32, 32, 3)))
    with pytest.raises(DataError, match="must be uint8"):
        of.require(asked, data)
    cifar_10_1(tmp_path)
    (tmp_path / "cifar10.1_v6_labels.npy").unlink()
    with pytest.raises(DataError, match="does not exist"):
        of.require(asked, data)
