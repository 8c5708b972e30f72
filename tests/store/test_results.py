"""Results and progress: verified on reading, and told while a run goes on."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
import torch
from damage import flip, weights

from lowland.core.errors import RunError
from lowland.store import inside
from lowland.store.run import Run


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

    def stop(root: Path, relative: str, content: bytes) -> None:
        if replaced:
            write(root, relative, content)
        raise KeyboardInterrupt

    write = inside.write_bytes
    # The manifest is text, and goes another way.
    monkeypatch.setattr(inside, "write_text", lambda root, relative, text: write(root, relative, text.encode()))
    with monkeypatch.context() as patch:
        patch.setattr(inside, "write_bytes", stop)
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


def test_status_tells_stages_time_left_and_best(run: Run) -> None:
    run.start_stage("supernet")
    run.finish_stage("supernet", [], {"loss": 1.0})
    run.start_stage("search")
    run.progress("search", 30, 100, 2.0, {"genotype": "a", "score": 0.9})
    status = Run.open(run.path, read_only=True).status()
    assert status["active"]
    assert [stage["status"] for stage in status["stages"].values()] == ["done", "running"] + ["pending"] * 3
    assert status["stages"]["supernet"]["facts"] == {"loss": 1.0}
    assert status["seconds_left"] == 35.0
    assert status["best"] == {"genotype": "a", "score": 0.9}
    json.dumps(status, allow_nan=False)
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


def test_a_large_file_is_checked_without_being_held(run: Run) -> None:
    """An archive of 100,000 candidates has half a gigabyte."""
    (run.path / "large.bin").write_bytes(b"\0" * 2**25)
    run.start_stage("supernet")
    run.finish_stage("supernet", [], {})
    run.start_stage("search")
    run.finish_stage("search", ["large.bin"], {})
    tracemalloc.start()
    try:
        run.require_intact("large.bin")
        assert run.verify() == []
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2**22
    with (run.path / "large.bin").open("r+b") as stream:
        stream.write(b"x")
    with pytest.raises(RunError, match="damaged or missing"):
        run.require_intact("large.bin")
