"""Checkpoints: the newest intact one is found, whatever stopped or damaged the one before."""

from __future__ import annotations

import errno
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import flip, posix, weights

from lowland.core.errors import LowlandWarning, RunError
from lowland.store import inside
from lowland.store.run import Run


def test_checkpoint_round_trip_keeps_one_older(run: Run) -> None:
    run.start_stage("supernet")
    assert run.load_checkpoint("supernet") is None
    for step in range(5):
        run.save_checkpoint("supernet", weights(step), {"step": step, "name": "λ"})
    tensors, state = run.load_checkpoint("supernet")
    assert state == {"step": 4, "name": "λ"}
    assert torch.equal(tensors["a"], torch.full((3, 2), 4.0))
    assert torch.equal(tensors["b"], torch.arange(4))
    names = sorted(p.name for p in (run.path / "checkpoints").iterdir())
    assert names == ["supernet-4.safetensors", "supernet-5.safetensors"]
    assert [entry["step"] for entry in run.manifest["checkpoints"]["supernet"]] == [5, 4]
    run.drop_checkpoint("supernet")
    run.drop_checkpoint("supernet")
    assert run.load_checkpoint("supernet") is None
    assert not list((run.path / "checkpoints").iterdir())


def test_checkpoint_takes_views_ties_and_every_dtype(run: Run) -> None:
    run.start_stage("train")
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "base": base,
        "tied": base,
        "column": base[:, 1],
        "transposed": base.T,
        "scalar": torch.tensor(3),
        "empty": torch.empty(0, 2),
        "half": base.to(torch.bfloat16),
        "flag": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(base.clone()),
    }
    run.save_checkpoint("train", tensors, {})
    loaded, _ = run.load_checkpoint("train")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert torch.equal(loaded[name], tensor)


def test_damaged_checkpoint_falls_back_and_two_are_an_error(run: Run) -> None:
    run.start_stage("supernet")
    for step in range(3):
        run.save_checkpoint("supernet", weights(step), {"step": step})
    current, older = (run.path / entry["file"] for entry in run.manifest["checkpoints"]["supernet"])
    flip(current)
    assert run.verify() == [current.relative_to(run.path).as_posix()]
    with (
        Run.open(run.path, read_only=True) as reader,
        pytest.warns(LowlandWarning, match=r"supernet-3.safetensors is damaged or missing: going on from .*-2"),
    ):
        assert reader.load_checkpoint("supernet")[1] == {"step": 1}
    with pytest.warns(LowlandWarning, match="supernet-3"):
        assert run.load_checkpoint("supernet")[1] == {"step": 1}
    # The damaged one is forgotten, so that the next one keeps the good one as its fallback.
    run.save_checkpoint("supernet", weights(), {"step": 9})
    flip(run.path / run.manifest["checkpoints"]["supernet"][0]["file"])
    with pytest.warns(LowlandWarning):
        assert run.load_checkpoint("supernet")[1] == {"step": 1}
    older.unlink()
    with pytest.raises(RunError, match=r"supernet-2.safetensors is damaged or missing; .*--restart supernet"):
        run.load_checkpoint("supernet")
    run.close()
    run = Run.open(run.path)
    run.reset_stage("supernet")
    assert run.load_checkpoint("supernet") is None
    run.close()


def test_nan_in_a_state_is_refused_before_anything_is_written(run: Run) -> None:
    run.start_stage("supernet")
    run.save_checkpoint("supernet", weights(), {"step": 1})
    with pytest.raises(RunError, match="state of checkpoint 'supernet' cannot be written as JSON"):
        run.save_checkpoint("supernet", weights(), {"loss": math.inf})
    assert run.load_checkpoint("supernet")[1] == {"step": 1}


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "is full"), (errno.EACCES, "no permission to write"), (errno.EROFS, "no perm")]
)
@pytest.mark.parametrize("at", [1, 2])
def test_a_refusing_disk_is_one_sentence_and_loses_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch, code: int, message: str, at: int
) -> None:
    run.start_stage("supernet")
    run.save_checkpoint("supernet", weights(1), {"step": 1})
    writes = 0

    def refuse(handle: int) -> None:
        nonlocal writes
        writes += 1
        if writes == at:
            raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(inside, "flush", refuse)
        with pytest.raises(RunError, match=message):
            run.save_checkpoint("supernet", weights(2), {"step": 2})
    # As if the process had ended here, without close().
    run._lock.release()
    assert not list(run.path.rglob("*.tmp"))
    with Run.open(run.path) as again:
        assert again.load_checkpoint("supernet")[1] == {"step": 1}
        assert again.verify() == []
        assert [p.name for p in (run.path / "checkpoints").iterdir()] == ["supernet-1.safetensors"]


def write_forever(path: Path, pipe: int) -> None:
    """Write checkpoints and results in a loop, telling the number of each through `pipe` once it is durable."""
    with Run.open(path) as run:
        run.start_stage("supernet")
        loaded = run.load_checkpoint("supernet")
        step = loaded[1]["step"] if loaded else 0
        while True:
            step += 1
            run.save_checkpoint("supernet", {"w": torch.full((20_000,), float(step))}, {"step": step})
            os.write(pipe, f"{step}\n".encode())
            run.write_json("note.json", {"step": step})
            os.write(pipe, f"{-step}\n".encode())
            run.progress("supernet", step, 10**6, 1.0, None)


@posix
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_killed_at_any_instant_the_run_opens_consistent_with_its_last_durable_checkpoint(run: Run) -> None:
    run.close()
    delays = np.random.default_rng(0).uniform(0.01, 0.1, size=15)
    acknowledged = noted = 0
    for round_, delay in enumerate(delays):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write_forever(run.path, writing)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as told:
            # Every other writer is let through its first checkpoint, so that the run gets on however slow the disk is.
            first = told.readline() if round_ % 2 else ""
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, "the writer failed by itself"
            numbers = [int(line) for line in (first + told.read()).split()]
            acknowledged = max([acknowledged, *numbers])
            noted = max([noted, *(-number for number in numbers)])
        with Run.open(run.path) as again:
            assert again.verify() == []
            loaded = again.load_checkpoint("supernet")
            step = loaded[1]["step"] if loaded else 0
            assert step in (acknowledged, acknowledged + 1)
            assert loaded is None or torch.equal(loaded[0]["w"], torch.full((20_000,), float(step)))
            acknowledged = step
            assert not list(run.path.rglob("*.tmp"))
            assert len(list((run.path / "checkpoints").iterdir())) <= 2
            note = again.read_json("note.json")["step"] if "note.json" in again.manifest["files"] else 0
            assert noted <= note <= step
            noted = note
    assert acknowledged >= 7
