"""What a run says before its first step, and what can be asked of it without starting or watching it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lowland as package
from lowland.core import device
from lowland.core.errors import LowlandWarning
from lowland.core.monitor import Monitor
from lowland.core.settings import merge, parse
from lowland.workflow import pipeline, threads
from lowland.workflow.presets import assemble
from lowland.workflow.timing import Costs
from whole_runs import TINY, Command, content, options

FOUND = "10 classes; 320 / 80 / 359 train / search / test; test cut from the training images (20%); 8×8 grey, arrays; "

ON_CPU = {"compute": {"device": "cpu"}}
"""Threads are told of a CPU alone."""


class Heard(Monitor):
    """Remembers the lines and how long each stage is."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.totals: dict[str, int] = {}

    def say(self, line: str) -> None:
        self.lines.append(line)

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.totals[stage] = total


def test_the_first_two_lines_say_what_was_found_and_what_is_planned(tmp_path: Path) -> None:
    heard = Heard()
    pipeline.run(assemble(TINY, ON_CPU), tmp_path / "run", monitor=heard, last="train")
    found, planned = heard.lines
    assert found.startswith(FOUND)
    steps = f"steps: {heard.totals['supernet']} supernet, {heard.totals['train']} retraining; "
    assert planned.startswith(steps + "1 thread; ")
    assert planned.rpartition("; ")[2] in ("bf16", "fp32")
    assert (heard.totals["supernet"], heard.totals["train"]) == (20, 72)
    pipeline.resume(tmp_path / "run", monitor=heard)
    assert len(heard.lines) == 2


def test_minutes_are_said_where_steps_were_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "usable_threads", lambda: 2)
    monkeypatch.setattr(threads, "time_threads", lambda work, most: {1: 6.0, 2: 40.0})
    piece = Costs(supernet_step=6.0, network_step=1.0, candidate=2.0, image=1e-3, image_as_trained=1e-3, corrupted=1e-2)
    monkeypatch.setattr(pipeline, "costs", lambda config, data, compute: piece)
    heard = Heard()
    settings = {"compute": {"device": "cpu", "threads": None}, "supernet": {"epochs": 1}}
    pipeline.run(assemble(merge(TINY, settings)), tmp_path / "run", monitor=heard, last="supernet")
    assert "steps: 10 supernet; 1 thread; " in heard.lines[1]
    assert heard.lines[1].endswith("; about 1 min (supernet 1 min)")
    assert json.loads((tmp_path / "run/manifest.json").read_text())["plan"] == {"supernet": 60.0}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "steps: 20 supernet, 72 retraining"),
        ({"retrain": {"top": 3}}, "steps: 20 supernet, 3 × 72 retraining"),
        ({"retrain": {"include_search_split": False}}, "steps: 20 supernet, 60 retraining"),
        (
            {"search": {"finalists": 4, "finalist_epochs": 2}},
            "steps: 20 supernet, 72 to choose of 4 designs, 72 retraining",
        ),
        ({"supernet": {"epochs": 1000}}, "steps: 10,000 supernet, 72 retraining"),
        (
            {"supernet": {"min_steps": 95}, "retrain": {"min_steps": 70}},
            "steps: 100 supernet (10 epochs, for supernet.min_steps=95), 72 retraining",
        ),
        (
            {"search": {"finalists": 4, "finalist_epochs": 2}, "retrain": {"min_steps": 100}},
            "steps: 20 supernet, 96 to choose of 4 designs, 108 retraining (9 epochs, for retrain.min_steps=100)",
        ),
    ],
)
def test_the_plan_follows_the_settings(settings: dict[str, Any], words: str) -> None:
    (_, planned), _ = pipeline.preview(assemble(TINY, settings))
    assert planned.split("; ")[0] == words


def test_few_steps_are_warned_of_with_the_epochs_that_are_enough() -> None:
    with pytest.warns(LowlandWarning) as said:
        pipeline.preview(assemble(TINY, {"supernet": {"epochs": 9}}))
    sentences = [str(each.message) for each in said]
    assert sentences == [
        "only 90 supernet steps (9 epochs of 320 images): its weights will be little trained; supernet.epochs=10 "
        "or supernet.min_steps=100 makes 100",
        "only 72 retraining steps (6 epochs of 400 images): its weights will be little trained; retrain.epochs=9 "
        "or retrain.min_steps=100 makes 100",
    ]


def test_a_dry_run_says_both_lines_and_settings_that_make_the_same_run(
    tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = lowland("run", *options("--dry-run"), "--device", "cpu")
    assert said.code == 0, said.err
    assert list(tmp_path.iterdir()) == []
    first, second, *rest = said.out.splitlines()
    assert first.startswith(f"# {FOUND}")
    assert second.startswith("# steps: 20 supernet, 72 retraining; 1 thread; ")
    values = parse("\n".join(rest), "the settings")
    assert values["search"]["options"]["evolution"]["population"] == 4
    (tmp_path / "settings.yaml").write_text(said.out)
    assert lowland("run", "--config", "settings.yaml", "--dry-run").out == said.out
    made = lowland("search", "--config", "settings.yaml", "--out", "run")
    assert made.code == 0, made.err
    assert parse((tmp_path / "run" / "config.yaml").read_text(), "") == values


def test_a_dry_run_refuses_what_a_run_would(tmp_path: Path, lowland: Command) -> None:
    assert "did you mean 'fashion-mnist-6k'" in lowland("run", "--data", "fashion-mnist-6", "--dry-run").fault
    assert "writes nothing" in lowland("run", "--data", "cifar10", "--download", "--dry-run").fault


@pytest.mark.filterwarnings("default:class")
def test_names_with_brackets_are_shown_as_they_are(tmp_path: Path, lowland: Command) -> None:
    names = ("[red]x[/red]", "[/b]")  # from an array, as no folder can have a slash in its name
    labels = np.array([names[0]] * 33 + [names[1]] * 3)
    images = np.random.default_rng(0).integers(0, 256, (36, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "[b] x :cat:.npz", x_train=images, y_train=labels, x_test=255 - images, y_test=labels)
    said = lowland("run", "--data", tmp_path / "[b] x :cat:.npz", "--dry-run")
    assert said.code == 0, said.err
    assert "class '[red]x[/red]' has 33 training pictures and '[/b]' only 3" in said.err
    assert f"name: '{tmp_path}/[b] x :cat:.npz'" in said.out or f"name: {tmp_path}/[b] x :cat:.npz" in said.out


@pytest.mark.slow
def test_quiet_leaves_the_run_directory_alone(tmp_path: Path, lowland: Command) -> None:
    said = lowland("run", *options(), "--out", tmp_path / "run", "--quiet")
    assert said.code == 0, said.err
    assert said.out == f"{tmp_path / 'run'}\n"
    said = lowland("resume", tmp_path / "run", "--restart", "report", "--quiet")
    assert (said.code, said.out) == (0, f"{tmp_path / 'run'}\n")


def test_status_as_json(pristine: Path, lowland: Command) -> None:
    before = content(pristine)
    told = json.loads(lowland("status", pristine, "--json").out)
    assert told["path"] == str(pristine)
    assert told["active"] is False
    assert [stage["status"] for stage in told["stages"].values()] == ["done"] * 5
    assert content(pristine) == before


def test_the_version(lowland: Command) -> None:
    said = lowland("--version")
    assert (said.code, said.out) == (0, f"lowland {package.__version__}\n")


def test_the_fewest_steps_are_trained(tmp_path: Path) -> None:
    heard = Heard()
    least = {"supernet": {"min_steps": 25}, "retrain": {"min_steps": 80}}
    pipeline.run(assemble(TINY, least), tmp_path / "run", monitor=heard, last="train")
    assert (heard.totals["supernet"], heard.totals["train"]) == (30, 84)
    assert len(package.load(tmp_path / "run").facts["loss"]) == 7


def test_unequal_classes_are_warned_of_with_what_helps(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (130, 8, 8), dtype=np.uint8)
    np.savez(
        tmp_path / "d.npz", x_train=x, y_train=np.repeat([0, 1], [110, 20]), x_test=x, y_test=np.repeat([0, 1], 65)
    )
    chosen = assemble(TINY, {"data": {"name": str(tmp_path / "d.npz"), "limit": None}})
    with pytest.warns(LowlandWarning) as said:
        pipeline.preview(chosen)
    (sentence,) = [str(each.message) for each in said if "unequal" in str(each.message)]
    assert sentence == (
        "the classes are unequal, 20 to 110 pictures, and training takes them as they come: "
        "retrain.class_balance=loss or sampling (also of supernet) makes them count alike; the results tell balanced "
        "accuracy and the recall of each class"
    )
    with pytest.warns(LowlandWarning) as said:
        pipeline.preview(assemble(chosen.model_dump(), {"retrain": {"class_balance": "loss"}}))
    assert not any("unequal" in str(each.message) for each in said)
