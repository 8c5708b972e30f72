"""The delivered network stays loadable until the next is complete, whenever a stop comes; then it is numbered."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import lowland
from lowland.core.config import Config, RetrainConfig
from lowland.core.errors import RunError
from lowland.core.genotype import Genotype
from lowland.delivery import description
from lowland.delivery import network as delivery
from lowland.spaces import Shape, get
from lowland.store import inside
from lowland.store.artifacts import network_folder
from lowland.store.manifest import INCOMING
from lowland.store.run import Run
from store.damage import flip
from whole_runs import copied

SHAPE = Shape(in_channels=1, image_size=8, num_classes=2, channels=4, cells=1)
GENOTYPE = Genotype("nasbench201", (3, 3, 3, 3, 3, 3))
DATA: Any = SimpleNamespace(classes=("a", "b"), mean=(0.5,), std=(0.5,), fit="crop")


@cache
def body(name: str, rank: int) -> torch.nn.Module:
    """Weights of its own for each name and rank."""
    torch.manual_seed(sum(map(ord, name)) + rank)
    return get("nasbench201").network(GENOTYPE, SHAPE)


def train(run: Run, name: str, top: int = 1, *, until: str = "") -> None:
    """What the stage leaves: networks that say their name, made in incoming/."""
    if not run.stage_done("train"):
        run.start_stage("train")
    for rank in range(1, top + 1):
        delivery.save(
            run.path / INCOMING / network_folder(rank), body(name, rank), GENOTYPE, SHAPE, DATA, {"name": name}
        )
    if until == "incoming":
        return
    run.exchange([network_folder(rank) for rank in range(1, top + 1)])
    folders = [network_folder(rank) for rank in range(1, top + 1)]
    files = [f"{folder}/{file}" for folder in folders for file in delivery.files(run.path / folder)]
    run.finish_stage("train", files, {})


def loaded(path: Path) -> str:
    """The name that the network which a run delivers says it has."""
    return str(lowland.load(path).facts["name"])


def told(path: Path) -> str:
    """The same without building it: what is complete in the place that `lowland.load` looks at."""
    folders = [folder for folder in ("network", f"{INCOMING}/network") if (path / folder / "network.json").exists()]
    return str(description.facts(path / folders[0])["name"])


def changed(run: Run, epochs: int, **other: Any) -> None:
    """Another recipe: the networks have to be trained anew."""
    config = run.config.model_copy(update={"retrain": RetrainConfig(epochs=epochs), **other})
    run.reconfigure(config, "train")


def numbers(run: Run) -> list[int]:
    return [each.number for each in run.earlier_networks()]


def test_it_stays_until_the_next_is_complete_and_is_then_numbered(run: Run) -> None:
    train(run, "first")
    assert run.earlier_networks() == []
    changed(run, 7)
    assert not run.stage_done("train")
    assert loaded(run.path) == "first"
    assert run.verify() == []
    train(run, "second", until="incoming")
    assert loaded(run.path) == "first"
    run.close()
    with Run.open(run.path) as run:
        train(run, "second")
        assert loaded(run.path) == "second"
        assert loaded(run.path / "history" / "1") == "first"
        (first,) = run.earlier_networks()
        assert (first.number, first.settings["retrain"]["epochs"], first.description["facts"]) == (
            1,
            20,
            {"name": "first"},
        )
        assert first.made is not None
        assert first.bytes == inside.size(run.path, "history/1")
        assert run.verify() == []
        assert not (run.path / INCOMING).exists()


def test_also_where_the_search_is_redone_and_where_resets_follow_each_other(run: Run) -> None:
    train(run, "first", top=2)
    run.reset_stage("search")
    changed(run, 3)
    run.reset_stage("supernet")
    assert loaded(run.path) == "first"
    train(run, "half", until="incoming")
    run.close()
    with Run.open(run.path) as run:
        run.reset_stage("train")
        assert not inside.files(run.path, INCOMING)
        assert loaded(run.path) == "first"
        train(run, "second")
        assert loaded(run.path) == "second"
        assert not (run.path / "networks").exists()
        assert loaded(run.path / "history/1/networks/2") == "first"
        assert run.earlier_networks()[0].settings["retrain"]["epochs"] == 20


def test_as_many_are_kept_as_asked_for(run: Run) -> None:
    train(run, "0")
    for number in range(1, 6):
        changed(run, number)
        train(run, str(number))
    assert numbers(run) == [5, 4, 3]
    assert [loaded(run.path / "history" / str(number)) for number in (5, 4, 3)] == ["4", "3", "2"]
    assert sorted(path.name for path in (run.path / "history").iterdir()) == ["3", "4", "5"]
    changed(run, 9, history=1)
    train(run, "6")
    assert numbers(run) == [6]
    changed(run, 10, history=0)
    assert loaded(run.path) == "6"
    train(run, "7")
    assert (numbers(run), loaded(run.path)) == ([], "7")
    assert not (run.path / "history").exists()
    assert run.verify() == []


def test_what_a_person_put_beside_goes_along_and_is_not_deleted(run: Run) -> None:
    train(run, "first")
    (run.path / "network" / "mine.onnx").write_text("mine")
    changed(run, 2, history=0)
    train(run, "second")
    assert (run.path / "history/1/network/mine.onnx").read_text() == "mine"
    assert loaded(run.path) == "second"
    run.reset_stage("train")
    train(run, "third")
    assert loaded(run.path) == "third"


def test_a_damaged_network_is_no_history(run: Run) -> None:
    train(run, "first")
    flip(run.path / "network" / "network.safetensors")
    run.reset_stage("train")
    train(run, "second")
    assert (numbers(run), loaded(run.path)) == ([], "second")


class Stopped(BaseException):
    """The machine stops."""


STEPS = ("write_text", "write_bytes", "delete", "move", "delete_empty_folders")


def stopping(monkeypatch: pytest.MonkeyPatch, at: int, look: Callable[[], None]) -> list[str]:
    """Let everything that changes a run stop before step `at`, after a last `look`."""
    done: list[str] = []
    for name in STEPS:
        real = getattr(inside, name)

        def step(*arguments: Any, _name: str = name, _real: Any = real, **options: Any) -> Any:
            if len(done) == at:
                look()
                raise Stopped
            done.append(_name)
            return _real(*arguments, **options)

        monkeypatch.setattr(inside, name, step)
    return done


@pytest.mark.parametrize(
    ("history", "top"),
    [pytest.param(3, 2, marks=pytest.mark.slow), pytest.param(3, 1), pytest.param(0, 1, marks=pytest.mark.slow)],
)
def test_stopped_at_any_step_one_of_the_two_is_loadable_and_the_rest_is_made_good(
    tmp_path: Path, history: int, top: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)  # no machine stops here, and it takes most of the time
    monkeypatch.setattr(inside, "flush", lambda _: None)
    expected: dict[str, bytes] = {}
    seen: list[str] = []
    with Run.create(tmp_path / "first", Config(seed=7, history=history)) as run:
        train(run, "first", top=2)
    for at in range(1000):  # the steps before it are those that were stopped at before
        path = copied(tmp_path / "first", tmp_path / f"run{at}")
        with Run.open(path) as run, pytest.MonkeyPatch.context() as patch:
            done = stopping(patch, at, lambda path=path: seen.append(told(path)))  # type: ignore[misc]
            try:
                changed(run, 5)
                train(run, "second", top=top)
                ended = True
            except Stopped:
                ended = False
        assert {*seen} <= {"first", "second"}
        assert seen == sorted(seen), "the earlier one came back"
        with Run.open(path) as run:
            assert loaded(path) in ("first", "second")
            if run.config.retrain.epochs != 5:
                changed(run, 5)
            if not run.stage_done("train"):
                train(run, "second", top=top)
            assert loaded(path) == "second"
            assert run.verify() == []
            assert numbers(run) == ([1] if history else [])
        left = {
            file: (path / file).read_bytes()
            for file in inside.files(path)
            if file.startswith(("network", "history", "incoming")) and not file.endswith("earlier.json")
        }
        expected = expected or left
        if ended:
            assert left == expected
            assert done.count("move") >= 2
            return
        if not any(file.startswith("history/") for file in expected):
            assert history == 0
        assert left == expected
    raise AssertionError("it never ends")


def test_a_manifest_that_names_others_as_earlier_networks_is_refused(run: Run, tmp_path: Path) -> None:
    train(run, "first")
    changed(run, 5)
    run.close()
    file = run.path / "manifest.json"
    sound = json.loads(file.read_text())
    for earlier in ({"files": ["config.yaml"]}, {"files": ["network/../../x"]}, {"files": "x"}, []):
        values = sound | {"earlier": sound["earlier"] | earlier if isinstance(earlier, dict) else earlier}
        file.write_text(json.dumps(values))
        with pytest.raises(RunError, match="damaged"):
            Run.open(run.path)
    for exchange in ({"folders": ["supernet"], "number": 1}, {"folders": ["network"], "number": "../x"}, []):
        file.write_text(json.dumps(sound | {"exchange": exchange}))
        with pytest.raises(RunError, match="damaged"):
            Run.open(run.path)
