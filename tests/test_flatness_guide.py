"""docs/guide/flatness.md: every program and command of the page runs, outside this repository."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lowland.measures.surface.views import Views

TEXT = (Path(__file__).parents[1] / "docs" / "guide" / "flatness.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```', TEXT, flags=re.MULTILINE | re.DOTALL))
COMMANDS = [shlex.split(line[2:]) for line in re.findall(r"^\$ .*$", TEXT, flags=re.MULTILINE)]


def run(folder: Path, *arguments: str) -> str:
    source = str(Path(__file__).parents[1] / "src")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ["classifier.py", "segmentation.py"])
def test_programs(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name])
    said = run(tmp_path, name)
    assert "flatness" in said
    assert "trace of the Hessian" in said
    if name == "classifier.py":
        assert {"surface.png", "surface.json"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.slow
def test_a_detector_of_torchvision(tmp_path: Path) -> None:
    (tmp_path / "detection.py").write_text(FILES["detection.py"])
    said = run(tmp_path, "detection.py")
    assert "sharpness" in said
    assert "over batches" in said


@pytest.mark.parametrize("place", range(len(COMMANDS)))
def test_commands(place: int, tmp_path: Path) -> None:
    (tmp_path / "my_models.py").write_text(FILES["my_models.py"])
    assert COMMANDS[place][0] == "lowland"
    assert "flatness" in run(tmp_path, "-m", "lowland", *COMMANDS[place][1:])
    assert (tmp_path / "surface.html").exists() == ("--out" in COMMANDS[place])


def test_the_page_is_whole() -> None:
    assert set(FILES) == {"my_models.py", "classifier.py", "segmentation.py", "detection.py"}
    assert len(COMMANDS) == 3
    assert f"({Views().images or 256}) images" in TEXT
