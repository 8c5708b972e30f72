"""A session's data are those that the run began with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from lowland.core.config import Config
from lowland.core.errors import DataError
from lowland.core.monitor import Monitor
from lowland.data import pictures as decoding
from lowland.store.run import MANIFEST, Run
from lowland.workflow.session import Session

pytestmark = pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")  # the pictures are alike


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """More pictures than the fingerprint reads."""
    monkeypatch.setattr(decoding, "SIGNED_FILES", 4)
    root = tmp_path / "data"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for index in range(30):
            Image.new("L", (6, 6), index % 256).save(root / name / f"{index:03}.bmp")
    return root


def session(run: Run) -> Session:
    return Session(run, Monitor())


@pytest.mark.parametrize("format_of_before", [False, True])
def test_any_picture_that_changed_is_seen_and_old_manifests_hold(
    format_of_before: bool, pictures: Path, tmp_path: Path
) -> None:
    config = Config.model_validate({"data": {"name": str(pictures)}})
    with Run.create(tmp_path / "run", config) as run:
        first = session(run).data
        run.start_stage("supernet")
    if format_of_before:
        manifest = json.loads((tmp_path / "run" / MANIFEST).read_text())
        del manifest["sha256"]  # which those of before had not
        del manifest["data"]["content"]
        (tmp_path / "run" / MANIFEST).write_text(json.dumps(manifest))
    with Run.open(tmp_path / "run") as run:
        assert session(run).data.content == first.content
        run.start_stage("supernet")
    assert json.loads((tmp_path / "run" / MANIFEST).read_text())["data"]["content"] == first.content
    for index in range(3, 13):
        path = pictures / "dog" / f"{index:03}.bmp"
        before = path.read_bytes()
        Image.new("L", (6, 6), 0).save(path)
        with Run.open(tmp_path / "run", read_only=True) as run, pytest.raises(DataError, match="has changed since"):
            _ = session(run).data
        path.write_bytes(before)
    with Run.open(tmp_path / "run", read_only=True) as run:
        assert session(run).data.content == first.content
