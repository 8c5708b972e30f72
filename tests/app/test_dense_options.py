"""Python and the command line ask the suites of dense tasks for the same, whatever is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lowland as package
from lowland.app import dense
from lowland.core.errors import RunError
from lowland.workflow import dense as workflow
from whole_runs import Command

Asked = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """Network, suite and options of each study that was asked for; none is made."""
    found: Asked = []

    def study(network: str, suite: str, options: Mapping[str, Any], **other: Any) -> Any:
        found.append((network, suite, dict(options)))
        raise RunError("seen")

    monkeypatch.setattr(workflow, "study", study)
    monkeypatch.setattr(dense, "study", study)
    return found


DEFAULTS = {
    "preset": "small",
    "epochs": None,
    "steps": None,
    "batch_size": None,
    "seed": None,
    "seeds": 1,
    "scratch": False,
}
TRAININGS = {"epochs": 1.5, "batch_size": 4, "seed": 3, "seeds": 2, "scratch": True}
WORDS = ("--epochs", "1.5", "--batch-size", "4", "--seed", "3", "--seeds", "2", "--from-scratch")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ()),
        ({"steps": 7}, ("--steps", "7")),
        (TRAININGS | {"preset": "torchvision"}, (*WORDS, "--preset", "torchvision")),
    ],
)
def test_detect(asked: Asked, lowland: Command, given: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(RunError):
        package.detect("timm:a", Path("coco"), progress="none", **given)
    assert lowland("detect", "timm:a", "--coco", "coco", *words).fault == "seen"
    options = DEFAULTS | given | {"coco": "coco"}
    assert asked == [("timm:a", "detection", options)] * 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ()),
        (
            TRAININGS | {"preset": "paper", "output_stride": 32},
            (*WORDS, "--preset", "paper", "--output-stride", "32"),
        ),
    ],
)
def test_segment(asked: Asked, lowland: Command, given: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(RunError):
        package.segment("timm:a", "camvid", Path("here"), progress="none", **given)
    assert lowland("segment", "timm:a", "--dataset", "camvid", "--data-root", "here", *words).fault == "seen"
    options = DEFAULTS | {"output_stride": None} | given | {"dataset": "camvid", "root": "here"}
    assert asked == [("timm:a", "segmentation", options)] * 2
