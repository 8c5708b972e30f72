"""Runs on several GPUs. There is none here: torch is told of some, and nothing computes, or all on the CPU."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from lowland.core import device
from lowland.core.errors import ConfigError
from lowland.core.monitor import Monitor
from lowland.data import load
from lowland.execution import gpus
from lowland.execution.local import Workers
from lowland.execution.ray import Ray
from lowland.execution.room import Room
from lowland.execution.sequential import Sequential
from lowland.execution.snapshot import in_memory, on_device
from lowland.search import Archive
from lowland.store.run import ARCHIVE, Run
from lowland.testing.simulated import Simulated
from lowland.training.parallel import World
from lowland.workflow import pipeline, room, rungs
from lowland.workflow.plan import plan
from lowland.workflow.presets import assemble
from lowland.workflow.session import Session
from lowland.workflow.stages import early_references
from whole_runs import TINY, Command, copied


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch sees four GPUs, on a machine of 16 cores."""
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    monkeypatch.setattr(device, "usable_threads", lambda: 16)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)


def session(run: Path, world: World | None = None, **compute: Any) -> Session:
    """Of a run with other settings: those of `compute`, and `workers`."""
    opened = Run.open(run, read_only=True)
    workers = compute.pop("workers", None)
    named = {"device": "auto", "threads": None} | compute
    opened.config = opened.config.model_copy(
        update={
            "compute": opened.config.compute.model_copy(update=named),
            "search": opened.config.search.model_copy(update={"workers": workers}),
        }
    )
    return Session(opened, Told(), world or World())


class Told(Monitor):
    """What was said."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("settings", "kind", "wanted"),
    [
        ({}, Workers, Room(4, 1.0)),
        ({"device": "cuda"}, Workers, Room(4, 1.0)),
        ({"device": "cuda", "gpus_per_worker": 0.5}, Workers, Room(8, 0.5)),
        ({"workers": 3}, Workers, Room(3, 1.0)),
        ({"workers": 1}, Sequential, Room(1, 1.0)),
        ({"device": "cuda:1"}, Sequential, Room(1, 1.0)),
        ({"executor": "sequential"}, Sequential, Room(1, 1.0)),
        ({"executor": "simulated"}, Simulated, Room(None, 1.0)),
        ({"executor": "simulated", "workers": 9, "gpus_per_worker": 2.0}, Simulated, Room(9, 2.0)),
        ({"executor": "ray", "gpus_per_worker": 0.25}, Ray, Room(None, 0.25)),
    ],
)
def test_a_worker_for_each_gpu(supernet_only: Path, settings: dict[str, Any], kind: type, wanted: Room) -> None:
    assert room.chosen(session(supernet_only, **settings)) == (kind, wanted)


@pytest.mark.usefixtures("four")
def test_under_torchrun_the_first_process_computes_alone(supernet_only: Path) -> None:
    assert room.chosen(session(supernet_only, World(0, 4)))[0] is Sequential


def test_one_gpu_is_left_to_this_process_unless_workers_share_it(
    four: None, supernet_only: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert room.chosen(session(supernet_only))[0] is Sequential
    assert room.chosen(session(supernet_only, gpus_per_worker=0.5)) == (Workers, Room(2, 0.5))


@pytest.mark.usefixtures("four")
def test_threads_of_a_training_on_a_gpu_are_its_share_whatever_the_workers(supernet_only: Path) -> None:
    for settings, wanted in (
        ({}, 4),
        ({"workers": 2}, 4),
        ({"gpus_per_worker": 0.5}, 2),
        ({"task_threads": 3}, 3),
        ({"device": "cuda:0"}, 16),
        ({"executor": "simulated", "gpus_per_worker": 2.0}, 8),
    ):
        of = session(supernet_only, **settings)
        assert rungs.task_threads(of.config, of.compute) == wanted
        assert rungs.reference_threads(of.config, of.compute) == wanted
    of = session(supernet_only)
    assert room.chosen(of, 16) == (Workers, Room(4, 1.0, 16)), "GPUs, not cores, decide how many there are"


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("--workers", "5"), "search.workers=5 is more than there is room for: GPUs that this machine shows: 4, "),
        (("--workers", "5", "--device", "cuda:1"), "search.workers=5: on compute.device=cuda:1 one process computes"),
        (("--set", "compute.gpus_per_worker=2"), "is more than the one GPU that compute.executor=local gives a worker"),
        (("--set", "compute.gpus_per_worker=1.5"), "is neither a whole number of GPUs nor a part of one"),
        (("--set", "compute.gpus_per_worker=0"), "compute.gpus_per_worker=0"),
    ],
)
def test_what_there_is_no_room_for_is_refused_in_one_sentence(
    lowland: Command, settings: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    said = lowland("run", "--data", "digits", *settings, "--out", tmp_path / "run")
    assert sentence in said.fault
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("four")
def test_a_run_from_a_larger_machine_goes_on_with_what_there_is_and_says_so(supernet_only: Path) -> None:
    of = session(supernet_only, workers=8)
    assert room.chosen(of)[1].size == 4
    (note,) = of.monitor.notes  # type: ignore[attr-defined]
    assert note.startswith("search.workers=8 is more than there is room for")
    assert note.endswith("; going on with 4")
    with pytest.raises(ConfigError, match="more than the one GPU"):
        room.chosen(session(supernet_only, gpus_per_worker=2.0))


@pytest.mark.usefixtures("four")
def test_the_plan_says_how_many_workers_and_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    data = load(assemble(TINY).data, seed=3)

    def said(last: str = "report", world_size: int = 1, **settings: Any) -> str:
        config = assemble(TINY, settings)
        return str(plan(config, data, device.resolve(config.compute), last, world_size=world_size))

    assert "; cuda:0; 4 workers on 4 GPUs; bf16" in said()
    assert "; cuda:0; 8 workers on 4 GPUs; bf16" in said(compute={"gpus_per_worker": 0.5})
    assert "; cuda:0; 2 workers on 2 GPUs; bf16" in said(search={"workers": 2})
    assert "; cuda:0; 9 workers on 4.5 GPUs; bf16" in said(
        search={"workers": 9}, compute={"executor": "simulated", "gpus_per_worker": 0.5}
    )
    for alone in (
        said(search={"workers": 1}),
        said(last="supernet"),
        said(world_size=2),
        said(compute={"device": "cuda:2"}),
        said(compute={"executor": "simulated"}),
        said(compute={"device": "cpu"}),
    ):
        assert "workers" not in alone


def test_images_that_come_along_lie_where_a_worker_computes() -> None:
    config = assemble(TINY)
    data = load(config.data, seed=3)
    sent = in_memory(data, test=True)
    assert sent is not None
    assert on_device(sent, torch.device("cpu")) is sent
    there = on_device(sent, torch.device("meta"))
    assert {split.device.type for split in (there.train, there.search, there.test)} == {"meta"}
    assert [len(split) for split in (there.train, there.test)] == [len(data.train), len(data.test)]


@pytest.mark.slow
@pytest.mark.usefixtures("eager_workers")
def test_what_workers_with_gpus_find_is_what_one_process_does(
    supernet_only: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search, finalists and an evaluation by workers that are given GPUs, and compute on the CPU."""
    asked = {
        "search": {"finalists": 2, "finalist_epochs": 0.8, "workers": 2},
        "evaluate": {"suites": ["corruptions", "references"]},
        "compute": {"threads": 1},
    }
    alone = copied(supernet_only, tmp_path / "alone")
    pipeline.resume(alone, last="evaluate", changes=[asked, {"search": {"workers": 1}}])
    opened: list[Workers] = []
    begin = Workers.__init__

    def noted(self: Workers, *what: Any) -> None:
        begin(self, *what)
        opened.append(self)

    monkeypatch.setenv(gpus.VISIBLE, "6,7")
    monkeypatch.setattr(gpus, "visible", lambda: os.environ[gpus.VISIBLE].split(","))
    monkeypatch.setattr(room, "gpus", lambda config, compute: config.compute.gpus_per_worker)
    monkeypatch.setattr(room, "places", lambda config, compute: 2)
    monkeypatch.setattr(room, "excess", lambda config, compute: None)
    monkeypatch.setattr(Workers, "__init__", noted)
    # At once: else a pool of their own is opened only where a machine takes more than two seconds for the network.
    monkeypatch.setattr(early_references, "WATCHED_SECONDS", 0.0)
    several = copied(supernet_only, tmp_path / "several")
    pipeline.resume(several, last="evaluate", changes=[asked])
    assert len(opened) == 4  # of the search, its rungs, the references beside the network, and the evaluation
    for pool in opened:
        assert {pool._places[each].gpu for each in pool._places} <= {"6", "7"}
        assert pool.room.gpus == 1.0
    weights = "network/network.safetensors"
    assert (several / weights).read_bytes() == (alone / weights).read_bytes()
    rows = []
    for run in (alone, several):
        with Archive(run / ARCHIVE, read_only=True) as archive:
            rows.append([(each.genotype, each.value, each.details) for each in archive.candidates(order="created")])
    assert rows[0] == rows[1]
    networks = [sorted(run.glob("references/networks/*/*/*.safetensors")) for run in (alone, several)]
    assert networks[0]
    assert [each.read_bytes() for each in networks[0]] == [each.read_bytes() for each in networks[1]]
