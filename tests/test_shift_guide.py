"""docs/guide/shift.md: every command of the page runs on tiny sets in the layouts that the page shows."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path

import numpy as np
import pytest

from lowland.core.errors import LowlandWarning
from lowland.data.shift import CIFAR10, wnids
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from published_sets import cifar_arrays, pictures
from whole_runs import TINY, Command

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "shift.md"
TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    \$ lowland (.*)$", TEXT, flags=re.MULTILINE)
LAYOUTS = re.findall(r"^    (sets/\S+)$", TEXT, flags=re.MULTILINE)

LABELS = [79, 90, 107]
"""Classes that ImageNet-A, -O and -R share."""


def make_sets(root: Path) -> None:
    shown = {wnids()[label]: [label] * 2 for label in LABELS}
    for name in ("imagenet-a", "imagenet-r", "imagenet-o", "sketch", "imagenet/val"):
        pictures(root / name, shown, names="{}_a b.JPEG", side=(40, 32))
    pictures(root / "imagenetv2-matched-frequency-format-val", {str(label): [label] * 2 for label in LABELS})
    for severity in range(1, 6):
        pictures(root / "imagenet-c/noise/gaussian_noise" / str(severity), shown, side=(224, 224))
    for name in ("textures", "noise"):
        pictures(root / name, {"a/b": [1, 2], "": [3]})
    labels = np.arange(20) % 10
    for folder in ("CIFAR-10.1/datasets", "CIFAR-10-C"):
        (root / folder).mkdir(parents=True)
    np.save(root / "CIFAR-10.1/datasets/cifar10.1_v6_data.npy", cifar_arrays(labels))
    np.save(root / "CIFAR-10.1/datasets/cifar10.1_v6_labels.npy", labels.astype(np.int32))
    np.save(root / "CIFAR-10-C/gaussian_noise.npy", cifar_arrays(np.tile(labels, 5)))
    np.save(root / "CIFAR-10-C/labels.npy", np.tile(labels, 5).astype(np.uint8))


def make_run(place: Path, run: str, classes: dict[str, int]) -> None:
    """A run on pictures of these classes; its own suites are as short as they can be."""
    images = pictures(place / f"{run}-images", {name: [label] * 8 for name, label in classes.items()}, side=(32, 32))
    few = {"evaluate": {"suites": ["classification"]}, "data": {"name": str(images), "limit": None, "image_size": 16}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LowlandWarning)  # the pictures of a class are all alike
        pipeline.run(assemble(TINY, few), place / "runs" / run)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the page's commands are typed."""
    made = tmp_path_factory.mktemp("guide")
    make_sets(made / "sets")
    make_run(made, "mine", {wnids()[label]: label for label in LABELS})
    make_run(made, "cifar", {name: label for label, name in enumerate(CIFAR10)})
    return made


@pytest.mark.slow
def test_the_layouts_are_those_of_the_tiny_sets(place: Path) -> None:
    assert len(LAYOUTS) >= 11
    for path in LAYOUTS:
        assert (place / path).is_dir() if path.endswith("/") else (place / path).is_file(), path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_runs(command: str, place: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    words = shlex.split(command)
    said = lowland(*words)
    assert said.code == 0, said.err
    if "--suite" in words:
        for suite in words[words.index("--suite") + 1].split(","):
            assert (place / words[1] / "evaluation" / f"{suite}.json").is_file()
    assert lowland("report", words[1]).code == 0


def test_every_suite_on_published_sets_has_its_command() -> None:
    from lowland.core.registry import SUITES

    asked = {
        name for command in COMMANDS for names in re.findall(r"--suite (\S+)", command) for name in names.split(",")
    }
    published = {entry.name for entry in SUITES.built_in() if ".shift." in entry.module} - {"ood", "cifar100-c"}
    assert published <= asked
    assert "cifar100-c" in TEXT.lower()
    assert any("--ood" in command for command in COMMANDS)
