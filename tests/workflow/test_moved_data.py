"""A run whose data lie elsewhere now goes on where they are the same, and says what differs where they are not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from whole_runs import TINY, Command, content


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A run whose supernet is trained on a folder of pictures."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("test", 60)):
        for name in "ab":
            (tmp_path / "data" / part / name).mkdir(parents=True)
            for place in range(count):
                picture = Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8))
                picture.save(tmp_path / "data" / part / name / f"{place}.png")
    data = {"name": str(tmp_path / "data"), "limit": None}
    pipeline.run(assemble(TINY, {"data": data}), tmp_path / "run", last="supernet")
    return tmp_path / "run"


def test_the_same_data_elsewhere(begun: Path, tmp_path: Path, lowland: Command) -> None:
    (tmp_path / "data").rename(tmp_path / "moved")
    assert "does not exist" in lowland("resume", begun).fault
    before = (begun / "supernet" / "trained.safetensors").read_bytes()
    said = lowland("resume", begun, "--data", tmp_path / "moved")
    assert said.code == 0, said.err
    assert (begun / "supernet" / "trained.safetensors").read_bytes() == before
    with Run.open(begun, read_only=True) as run:
        assert run.config.data.name == str(tmp_path / "moved")
        assert run.stage_done("report")
        assert run.verify() == []


def test_other_data_are_refused_with_what_differs(begun: Path, tmp_path: Path, lowland: Command) -> None:
    before = content(begun)
    shutil.copytree(tmp_path / "data", tmp_path / "fewer")
    (tmp_path / "fewer" / "test" / "a" / "0.png").unlink()
    fault = lowland("resume", begun, "--data", tmp_path / "fewer").fault
    assert fault == (
        f"{tmp_path / 'fewer'} holds other data than {begun} was started with (test 120 there, 119 here); give the "
        "folder with the same data, or start a new run with another --out"
    )
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    with Image.open(tmp_path / "other" / "train" / "a" / "0.png") as picture:
        picture.rotate(90).save(tmp_path / "other" / "train" / "a" / "0.png")
    assert "but the pictures are others" in lowland("resume", begun, "--data", tmp_path / "other").fault
    assert content(begun) == before
