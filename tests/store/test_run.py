from __future__ import annotations

import errno
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from lowland.core import files
from lowland.core.config import Config
from lowland.core.errors import LowlandWarning, RunError
from lowland.store import run as run_module
from lowland.store.run import ARCHIVE, STAGES, Run

posix = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")


@pytest.fixture
def run(tmp_path: Path):
    with Run.create(tmp_path / "run", Config(seed=7)) as run:
        yield run


def weights(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"a": torch.full((3, 2), value), "b": torch.arange(4)}


def flip(path: Path) -> None:
    """Damage one byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def subprocess_of(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )


# --- creating and opening ----------------------------------------------------------------------------------------


def test_created_run_opens_with_the_same_settings(run: Run) -> None:
    run.close()
    with Run.open(run.path) as again:
        assert again.config == Config(seed=7)
        assert again.manifest["format"] == 1
        assert not any(again.stage_done(name) for name in STAGES)
        assert again.verify() == []


def test_refuses_folders_that_are_not_its_own(tmp_path: Path, run: Run) -> None:
    with pytest.raises(RunError, match="already holds a run: continue it with `lowland resume"):
        Run.create(run.path, Config())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(RunError, match=r"not empty and not a run \(it holds 'cat.jpg'\)"):
        Run.create(tmp_path / "photos", Config())
    assert [p.name for p in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    for path in (tmp_path / "photos", tmp_path / "nowhere"):
        for read_only in (False, True):
            with pytest.raises(RunError, match="is not a run directory"):
                Run.open(path, read_only=read_only)
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(RunError, match="a file is in the way"):
            Run.create(path, Config())


def test_creation_stopped_halfway_can_be_done_again(tmp_path: Path) -> None:
    path = tmp_path / "run"
    (path / "checkpoints").mkdir(parents=True)
    for name in (".lock", "config.yaml", ".manifest.json.x1.tmp"):
        (path / name).write_text("half")
    Run.create(path, Config(seed=3)).close()
    assert not list(path.glob(".*.tmp"))
    assert Run.open(path, read_only=True).config.seed == 3


def test_damaged_or_foreign_manifests_and_settings_are_named(run: Run) -> None:
    run.close()
    manifest, settings = run.path / "manifest.json", run.path / "config.yaml"
    good = manifest.read_text()
    for content, message in (
        (good[:40], "manifest.json is damaged"),
        ("[]", "manifest.json is damaged"),
        ("", "manifest.json is damaged"),
        (json.dumps({**json.loads(good), "stages": 3}), "'stages' is missing"),
        (
            json.dumps({**json.loads(good), "format": 9, "lowland": "4.2"}),
            "has format 9, .* reads format 1: use lowl.*4.2",
        ),
    ):
        manifest.write_text(content)
        for read_only in (False, True):
            with pytest.raises(RunError, match=message):
                Run.open(run.path, read_only=read_only)
    manifest.write_text(good)
    original = settings.read_text()
    for content, message in (
        (original.replace("seed: 7", "seed: 8"), "was changed after the run began"),
        ("[", "config.yaml of the run is missing or damaged"),
    ):
        settings.write_text(content)
        with pytest.raises(RunError, match=message):
            Run.open(run.path)
    settings.unlink()
    with pytest.raises(RunError, match="missing or damaged"):
        Run.open(run.path)
    settings.write_text(original)
    Run.open(run.path).close()


# --- one writer --------------------------------------------------------------------------------------------------

HOLDER = """
import sys
from lowland.store.run import Run
run = Run.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


@posix
def test_second_writer_is_refused_and_a_killed_one_leaves_no_lock(run: Run) -> None:
    run.close()
    process = subprocess_of(HOLDER, run.path)
    assert process.stdout is not None
    assert process.stdout.readline() == "open\n"
    with pytest.raises(RunError, match=f"is in use by process {process.pid} on "):
        Run.open(run.path)
    reader = Run.open(run.path, read_only=True)
    assert reader.status()["active"]
    assert f"process {process.pid} on" in reader.status()["writer"]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not reader.status()["active"]
    Run.open(run.path).close()


def test_second_writer_in_this_process_is_refused_too(run: Run) -> None:
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        Run.open(run.path)
    run.close()
    run.close()
    Run.open(run.path).close()


FORKER = """
import os, sys, time
from lowland.store.run import Run
run = Run.open(sys.argv[1])
child = os.fork()
if child == 0:
    os.close(1)
    time.sleep(60)
print(child, flush=True)
sys.stdin.read()
"""


@posix
def test_a_worker_that_outlives_its_killed_parent_does_not_keep_the_lock(run: Run) -> None:
    run.close()
    process = subprocess_of(FORKER, run.path)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        os.kill(child, 0)
        Run.open(run.path).close()
    finally:
        os.kill(child, signal.SIGKILL)


def test_readers_cannot_write_and_take_no_lock(run: Run) -> None:
    run.start_stage("supernet")
    reader = Run.open(run.path, read_only=True)
    for write in (
        lambda: reader.start_stage("supernet"),
        lambda: reader.save_checkpoint("supernet", weights(), {}),
        lambda: reader.write_json("x.json", 1),
        lambda: reader.progress("supernet", 1, 2, 1.0, None),
        lambda: reader.reset_stage("supernet"),
        lambda: reader.drop_checkpoint("supernet"),
    ):
        with pytest.raises(RunError, match="opened for reading only"):
            write()
    reader.close()
    run.write_json("x.json", 1)


# --- stages ------------------------------------------------------------------------------------------------------


def test_a_stage_is_done_with_its_files_and_facts(run: Run) -> None:
    run.start_stage("supernet")
    run.save_tensors("supernet.safetensors", weights(), {"space": "toy"})
    (run.path / "network").mkdir()
    (run.path / "network" / "model.bin").write_bytes(b"123")
    (run.path / "figure.png").write_bytes(b"png")
    run.finish_stage("supernet", ["network", run.path / "figure.png"], {"loss": 0.5})
    run.close()
    with Run.open(run.path) as again:
        assert again.stage_done("supernet")
        stage = again.manifest["stages"]["supernet"]
        assert stage["files"] == ["supernet.safetensors", "network/model.bin", "figure.png"]
        assert stage["facts"] == {"loss": 0.5}
        assert again.verify() == []
        with pytest.raises(RunError, match="finished already"):
            again.start_stage("supernet")
        (run.path / "figure.png").write_bytes(b"pnG")
        (run.path / "network" / "model.bin").unlink()
        assert again.verify() == ["figure.png", "network/model.bin"]


def test_stage_mistakes_are_told(run: Run) -> None:
    with pytest.raises(RunError, match="unknown stage 'serach'; the stages are supernet, search"):
        run.stage_done("serach")
    with pytest.raises(RunError, match="not running"):
        run.finish_stage("search", [], {})
    with pytest.raises(RunError, match="belongs to no stage"):
        run.save_checkpoint("search", {}, {})
    run.start_stage("search")
    with pytest.raises(RunError, match="while stage search"):
        run.start_stage("train")
    with pytest.raises(RunError, match=r"gone\.txt was not made"):
        run.finish_stage("search", ["gone.txt"], {})
    with pytest.raises(RunError, match="facts of stage search cannot be written as JSON"):
        run.finish_stage("search", [], {"loss": math.nan})
    assert not run.stage_done("search")
    for path in ("../outside.json", "/etc/outside.json", "a/../../b.json", ""):
        with pytest.raises(RunError, match="not a path inside"):
            run.write_json(path, 1)


def test_seconds_add_up_over_interruptions(run: Run) -> None:
    for _ in range(3):
        run.start_stage("supernet")
        time.sleep(0.05)
        run.close()
        run = Run.open(run.path)
    started = run.manifest["stages"]["supernet"]["started"]
    run.start_stage("supernet")
    run.finish_stage("supernet", [], {})
    assert 0.15 <= run.manifest["stages"]["supernet"]["seconds"] < 1.5
    assert run.manifest["stages"]["supernet"]["started"] == started
    run.close()


def test_reset_clears_a_stage_and_all_later_ones(run: Run) -> None:
    for name in STAGES[:3]:
        run.start_stage(name)
        run.write_json(f"{name}.json", name)
        run.save_checkpoint(name, weights(), {})
        run.finish_stage(name, [], {})
    (run.path / ARCHIVE).write_bytes(b"scores")
    run.reset_stage("train")
    assert [run.stage_done(name) for name in STAGES] == [True, True, False, False, False]
    assert (run.path / ARCHIVE).exists()
    run.reset_stage("search")
    assert [run.stage_done(name) for name in STAGES] == [True, False, False, False, False]
    assert not (run.path / ARCHIVE).exists()
    left = sorted(p.relative_to(run.path).as_posix() for p in run.path.rglob("*") if p.is_file())
    assert left == [".lock", "checkpoints/supernet-1.safetensors", "config.yaml", "manifest.json", "supernet.json"]
    assert run.read_json("supernet.json") == "supernet"
    assert run.load_checkpoint("search") is None
    assert run.verify() == []
    run.start_stage("search")


def test_a_reset_stopped_within_is_made_good_at_the_next_opening(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.start_stage("search")
    run.write_json("ranking.json", [1])
    run.finish_stage("search", [], {})
    (run.path / ARCHIVE).write_bytes(b"scores")
    unlink = Path.unlink

    def stop(self: Path, missing_ok: bool = False) -> None:
        unlink(self, missing_ok=missing_ok)
        if self.name == "ranking.json":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            run.reset_stage("search")
    run.close()
    with Run.open(run.path) as again:
        assert not again.stage_done("search")
        assert not (run.path / ARCHIVE).exists()
        assert again.verify() == []


# --- checkpoints -------------------------------------------------------------------------------------------------


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

    def refuse(path: Path) -> None:
        nonlocal writes
        writes += 1
        if writes == at:
            raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync_file", refuse)
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


# --- results -----------------------------------------------------------------------------------------------------


def test_results_are_verified_on_reading(run: Run) -> None:
    run.start_stage("train")
    run.save_tensors("network/weights.safetensors", weights(2), {"space": "toy"})
    run.write_json("ranking.json", {"best": [1, 2.5, None, "σ"]})
    tensors, metadata = run.load_tensors("network/weights.safetensors")
    assert torch.equal(tensors["a"], torch.full((3, 2), 2.0))
    assert metadata == {"space": "toy"}
    assert run.read_json("ranking.json") == {"best": [1, 2.5, None, "σ"]}
    with pytest.raises(RunError, match=r"has no other\.json yet"):
        run.read_json("other.json")
    with pytest.raises(RunError, match=r"bad\.json cannot be written as JSON"):
        run.write_json("bad.json", [math.nan])
    run.finish_stage("train", [], {})
    for name, load in (("network/weights.safetensors", run.load_tensors), ("ranking.json", run.read_json)):
        flip(run.path / name)
        with pytest.raises(RunError, match=f"{name} is damaged or missing; put back .* --restart train"):
            load(name)
    assert run.verify() == ["network/weights.safetensors", "ranking.json"]


@pytest.mark.parametrize("replaced", [False, True])
def test_a_result_whose_replacement_was_stopped_is_the_old_or_the_new(
    run: Run, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    run.start_stage("train")
    run.write_json("history.json", ["old"])

    def stop(path: Path, content: bytes) -> None:
        if replaced:
            files.write_bytes(path, content)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_bytes", stop)
        with pytest.raises(KeyboardInterrupt):
            run.write_json("history.json", ["new"])
    run._lock.release()
    expected = ["new"] if replaced else ["old"]
    reader = Run.open(run.path, read_only=True)
    assert reader.read_json("history.json") == expected
    with Run.open(run.path) as again:
        assert again.verify() == []
        assert again.read_json("history.json") == expected
        again.start_stage("train")
        again.write_json("history.json", ["newest"])
    assert Run.open(run.path, read_only=True).read_json("history.json") == ["newest"]


# --- progress ----------------------------------------------------------------------------------------------------


def test_status_tells_stages_time_left_and_best(run: Run) -> None:
    run.start_stage("supernet")
    run.finish_stage("supernet", [], {"loss": 1.0})
    run.start_stage("search")
    run.progress("search", 30, 100, 2.0, {"value": 0.9})
    status = Run.open(run.path, read_only=True).status()
    assert status["active"]
    assert [stage["status"] for stage in status["stages"].values()] == ["done", "running"] + ["pending"] * 3
    assert status["stages"]["supernet"]["facts"] == {"loss": 1.0}
    assert status["seconds_left"] == 35.0
    assert status["best"] == {"value": 0.9}
    assert status["progress"]["lull"] is None
    json.dumps(status, allow_nan=False)
    run.progress("search", 100, 100, 2.0, None, "slow: …")
    assert Run.open(run.path, read_only=True).status()["progress"]["lull"] == "slow: …"
    run.close()
    status = Run.open(run.path, read_only=True).status()
    assert not status["active"]
    assert status["writer"] is None
    assert status["stages"]["search"]["status"] == "interrupted"
    assert status["seconds_left"] is None


def test_progress_is_throttled_but_tells_the_last(run: Run) -> None:
    path = run.path / "progress.json"
    run.start_stage("search")
    for done in range(1000):
        run.progress("search", done, 1000, math.inf, None)
    assert json.loads(path.read_text())["done"] == 0
    assert run.status()["seconds_left"] is None
    run.progress("search", 1000, 1000, 5.0, None)
    assert run.status()["progress"]["done"] == 1000
    run.progress("train", 0, 5, 5.0, None)
    assert run.status()["progress"]["stage"] == "train"
    for content in ("", "[]", "{}", '{"stage": "x"}'):
        path.write_text(content)
        assert run.status()["progress"] is None


def test_status_does_not_import_torch(run: Run) -> None:
    code = "import sys; from lowland.store.run import Run; Run.open(sys.argv[1], read_only=True).status(); "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(run.path)], check=False).returncode == 0
