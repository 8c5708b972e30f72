"""A run directory: creating, opening, its one writer, and its stages."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from pathlib import Path

import pytest
from damage import posix, subprocess_of, weights

from lowland.core.config import Config
from lowland.core.errors import RunError
from lowland.store import inside
from lowland.store.run import ARCHIVE, STAGES, Run

# --- creating and opening ----------------------------------------------------------------------------------------


def test_created_run_opens_with_the_same_settings(run: Run) -> None:
    run.close()
    with Run.open(run.path) as again:
        assert again.config == Config(seed=7)
        assert again.manifest["format"] == 2
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
            "has format 9, .* reads formats 1 and 2: use lowl.*4.2",
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


def test_a_training_goes_on_with_as_many_processes_as_it_began(run: Run) -> None:
    run.require_processes("supernet", 3)
    run.start_stage("supernet", 2)
    run.require_processes("supernet", 3)  # nothing is kept yet
    run.save_checkpoint("supernet", weights(), {})
    run.close()
    with Run.open(run.path) as again:
        again.require_processes("supernet", 2)
        with pytest.raises(RunError, match=r"begun on 2 processes .* other weights on 1: .* --restart supern"):
            again.require_processes("supernet", 1)
        again.reset_stage("supernet")
        again.require_processes("supernet", 1)


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
    delete = inside.delete

    def stop(root: Path, relative: str) -> None:
        delete(root, relative)
        if relative == "ranking.json":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(inside, "delete", stop)
        with pytest.raises(KeyboardInterrupt):
            run.reset_stage("search")
    run.close()
    with Run.open(run.path) as again:
        assert not again.stage_done("search")
        assert not (run.path / ARCHIVE).exists()
        assert again.verify() == []


def test_a_run_renamed_while_it_is_written_leaves_no_stray_folder(tmp_path: Path) -> None:
    with Run.create(tmp_path / "run", Config()) as run:
        run.start_stage("supernet")
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        for write in (
            lambda: run.write_json("supernet/history.json", 1),
            lambda: run.progress("supernet", 1, 2, None, None),
        ):
            with pytest.raises(RunError, match=r"run is not there any more, so that nothing .* where it is now"):
                write()
        (tmp_path / "elsewhere").rename(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    assert not (tmp_path / "run").exists()
    with Run.open(tmp_path / "elsewhere") as run:
        run.start_stage("supernet")
