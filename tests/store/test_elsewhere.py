"""Checkpoints on another disk: used where the run's own mark lies, and nowhere else."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from lowland.core.config import Config
from lowland.core.errors import LowlandWarning, RunError
from lowland.store.elsewhere import MARK
from lowland.store.manifest import manifest_text
from lowland.store.run import Run

STATE = {"step": 1}


def tensors() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(3.0)}


def begun(path: Path, disk: Path | None) -> Path:
    """A run that was stopped in its first stage, with two checkpoints."""
    with Run.create(path, Config(checkpoints_to=disk)) as run:
        run.start_stage("supernet")
        for _ in range(2):
            run.save_checkpoint("train", tensors(), STATE)
    return path


def found(path: Path) -> list[Path]:
    return sorted(path.rglob("*.safetensors"))


def noted(path: Path, **changes: Any) -> None:
    """Change the manifest as somebody would who knows how it is written."""
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]
    (path / "manifest.json").write_text(manifest_text(manifest | changes))


def test_checkpoints_lie_there_and_the_run_says_so(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    path = begun(tmp_path / "run", disk)
    assert not found(path)
    (folder,) = disk.iterdir()
    assert len(found(disk)) == 2
    (folder / "checkpoints" / "left-9.safetensors").touch()
    (folder / "checkpoints" / "mine.txt").touch()
    with Run.open(path) as run:
        assert run.status()["checkpoints"] == str(folder)
        loaded = run.load_checkpoint("train")
        assert loaded is not None
        assert loaded[1] == STATE
        assert not (folder / "checkpoints" / "left-9.safetensors").exists(), "left over, as in the run itself"
        assert run.verify() == []
        run.start_stage("supernet")
        run.drop_checkpoint("train")
    assert not found(disk)
    assert (folder / "checkpoints" / "mine.txt").exists()


def test_a_reset_clears_them(tmp_path: Path) -> None:
    path = begun(tmp_path / "run", tmp_path / "disk")
    with Run.open(path) as run:
        run.reset_stage("supernet")
    assert not found(tmp_path / "disk")


def test_they_are_moved_where_a_person_says_and_back(tmp_path: Path) -> None:
    path = begun(tmp_path / "run", None)
    for place in (tmp_path / "one", tmp_path / "two", None):
        with Run.open(path) as run:
            run.reconfigure(run.config.model_copy(update={"checkpoints_to": place}), None)
            run.keep_checkpoints_in(place)
            assert run.load_checkpoint("train") is not None
            assert len(found(tmp_path)) == len(found(place or path)) == 2
        assert not list(tmp_path.rglob(MARK)) or place is not None


def test_a_disk_out_of_reach_is_said_where_it_is_needed(tmp_path: Path) -> None:
    path = begun(tmp_path / "run", tmp_path / "disk")
    (tmp_path / "disk").rename(tmp_path / "away")
    with Run.open(path, read_only=True) as run:
        assert run.status()["checkpoints"] is not None
    with Run.open(path) as run:
        with pytest.raises(RunError, match="out of reach or has lost its"):
            run.load_checkpoint("train")
        run.reconfigure(run.config.model_copy(update={"checkpoints_to": None}), None)
        with pytest.warns(LowlandWarning, match="done again"):
            run.keep_checkpoints_in(None)
        assert run.load_checkpoint("train") is None
    assert len(found(tmp_path / "away")) == 2


def test_a_moved_run_and_a_copy_are_told_apart_from_the_run(tmp_path: Path) -> None:
    path = begun(tmp_path / "run", tmp_path / "disk")
    copy = Path(shutil.copytree(path, tmp_path / "copy"))
    with Run.open(copy) as run, pytest.raises(RunError, match=r"belong to the run at .* moved here, say so"):
        run.load_checkpoint("train")
    assert len(found(tmp_path / "disk")) == 2
    shutil.rmtree(path)
    with Run.open(copy) as run:
        run.keep_checkpoints_in(tmp_path / "disk")
        assert run.load_checkpoint("train") is not None


@pytest.mark.parametrize("named", ["folder", "secret", "settings"])
def test_a_stranger_cannot_point_at_folders_of_mine(named: str, tmp_path: Path) -> None:
    mine = begun(tmp_path / "mine", tmp_path / "disk")
    (folder,) = (tmp_path / "disk").iterdir()
    (tmp_path / "disk" / "checkpoints").mkdir()
    (tmp_path / "disk" / "checkpoints" / "key.safetensors").touch()
    before = {each: each.read_bytes() for each in sorted((tmp_path / "disk").rglob("*")) if each.is_file()}
    disk = {"folder": tmp_path / "disk", "secret": folder, "settings": None}[named]
    theirs = begun(tmp_path / "theirs", None)
    if disk is None:
        with Run.open(theirs) as run:  # settings alone, as somebody would write them
            run.reconfigure(Config(checkpoints_to=tmp_path / "disk"), None)
    else:
        with Run.open(theirs) as run:
            run.reconfigure(Config(checkpoints_to=disk.parent), None)
        noted(theirs, store={"folder": str(disk), "secret": "0" * 32})
    with Run.open(theirs) as run:
        with pytest.raises(RunError):
            run.load_checkpoint("train")
        run.start_stage("supernet")
        with pytest.raises(RunError):
            run.save_checkpoint("train", tensors(), STATE)
        with pytest.raises(RunError):
            run.drop_checkpoint("train")
    assert {each: each.read_bytes() for each in sorted((tmp_path / "disk").rglob("*")) if each.is_file()} == before
    assert Run.open(mine).load_checkpoint("train") is not None


def test_a_folder_that_is_no_absolute_path_is_damage(tmp_path: Path) -> None:
    path = begun(tmp_path / "run", tmp_path / "disk")
    noted(path, store={"folder": "disk", "secret": "0"})
    with pytest.raises(RunError, match="no absolute path"):
        Run.open(path)
