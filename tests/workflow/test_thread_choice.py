"""The number of threads is chosen once, before a run's first step, and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lowland.core import device
from lowland.core.config import Config
from lowland.core.monitor import Monitor
from lowland.core.settings import merge
from lowland.store.run import Run
from lowland.workflow import pipeline, threads
from lowland.workflow.presets import assemble
from lowland.workflow.session import Session
from whole_runs import TINY


class Heard(Monitor):
    """Remembers the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Four cores, so busy that one thread is fastest; the list fills with what was timed."""
    asked: list[int] = []

    def times(work: Any, most: int) -> dict[int, float]:
        asked.append(most)
        work(0)
        return {1: 0.1, 2: 0.2, 4: 0.4}

    monkeypatch.setattr(device, "usable_threads", lambda: 4)
    monkeypatch.setattr(threads, "time_threads", times)
    return asked


def config(**compute: Any) -> Config:
    return assemble(merge(TINY, {"supernet": {"epochs": 1}, "compute": {"threads": None, **compute}}))


def test_a_new_run_takes_the_fastest_number_and_keeps_it(timed: list[int], tmp_path: Path) -> None:
    path, heard = tmp_path / "run", Heard()
    torch.set_num_threads(2)
    pipeline.run(config(), path, monitor=heard, last="supernet")
    assert timed == [4]
    assert heard.notes == ["compute.threads=1: 10 step/s with 1, 5 step/s with 2, 2.5 step/s with 4"]
    assert torch.get_num_threads() == 2
    with Run.open(path, read_only=True) as run:
        assert run.config.compute.threads == 1
        assert not run.verify()
        assert Session(run, Monitor()).compute.threads == 1
        assert torch.get_num_threads() == 1
    pipeline.resume(path, last="supernet")
    assert timed == [4]


def test_the_number_changes_nothing_else(timed: list[int], tmp_path: Path) -> None:
    pipeline.run(config(), tmp_path / "timed", last="supernet")
    pipeline.run(config(threads=1), tmp_path / "given", last="supernet")
    assert timed == [4]
    texts = [(tmp_path / name / "config.yaml").read_text() for name in ("timed", "given")]
    assert texts[0] == texts[1]
    files = [(tmp_path / name / "supernet" / "trained.safetensors").read_bytes() for name in ("timed", "given")]
    assert files[0] == files[1]


def test_where_one_thread_is_all_there_is_nothing_is_timed(
    timed: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(device, "usable_threads", lambda: 1)
    heard = Heard()
    pipeline.run(config(), tmp_path / "run", monitor=heard, last="supernet")
    assert timed == heard.notes == []
    with Run.open(tmp_path / "run", read_only=True) as run:
        assert run.config.compute.threads == 1


def test_a_run_that_has_begun_without_a_number_goes_on_with_all(timed: list[int], finished: Path) -> None:
    with Run.open(finished) as run:
        run.reconfigure(run.config.model_copy(update={"compute": config().compute}), None)
    pipeline.resume(finished, restart="report")
    assert timed == []
    with Run.open(finished, read_only=True) as run:
        assert run.config.compute.threads is None
        assert Session(run, Monitor()).compute.threads == 4


def test_an_accelerator_times_nothing(timed: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = device.Compute(device=torch.device("meta"), threads=4)
    monkeypatch.setattr(threads, "resolve", lambda compute: gpu)
    with Run.create(tmp_path / "run", config()) as run:
        threads.choose_threads(Session(run, Monitor()))
        assert run.config.compute.threads is None
    assert timed == []


def test_the_number_of_a_run_can_be_changed_and_nothing_is_done_again(finished: Path) -> None:
    before = (finished / "supernet" / "trained.safetensors").stat().st_mtime_ns
    stages = pipeline.resume(finished, changes=[{"compute": {"threads": 2}}]).stages
    assert stages == ("supernet", "search", "train", "evaluate", "report")
    assert (finished / "supernet" / "trained.safetensors").stat().st_mtime_ns == before
    with Run.open(finished, read_only=True) as run:
        assert run.config.compute.threads == 2
