"""docs/guide/flatness.md: every program and command of the page runs."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest

from whole_runs import Command

TEXT = (Path(__file__).parents[1] / "docs" / "guide" / "flatness.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```', TEXT, flags=re.MULTILINE | re.DOTALL))
COMMANDS = [shlex.split(line[2:]) for line in re.findall(r"^\$ .*$", TEXT, flags=re.MULTILINE)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, whose modules are those of this test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "my_models", raising=False)
    return tmp_path


def ran(folder: Path, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    (folder / name).write_text(FILES[name])
    runpy.run_path(str(folder / name))
    return capsys.readouterr().out


@pytest.mark.parametrize("name", ["classifier.py", "segmentation.py"])
def test_programs(name: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ran(folder, name, capsys)
    assert "flatness" in said
    assert "trace of the Hessian" in said
    if name == "classifier.py":
        assert {"surface.png", "surface.json"} <= {path.name for path in folder.iterdir()}


@pytest.mark.slow
def test_a_detector_of_torchvision(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = ran(folder, "detection.py", capsys)
    assert "sharpness" in said
    assert "over batches" in said


@pytest.mark.parametrize("place", range(len(COMMANDS)))
def test_commands(place: int, folder: Path, lowland: Command) -> None:
    (folder / "my_models.py").write_text(FILES["my_models.py"])
    program, *arguments = COMMANDS[place]
    assert program == "lowland"
    said = lowland(*arguments)
    assert said.code == 0, said.err
    assert "flatness" in said.out
    assert (folder / "surface.html").exists() == ("--out" in arguments)


def test_the_page_is_whole() -> None:
    assert set(FILES) == {"my_models.py", "classifier.py", "segmentation.py", "detection.py"}
    assert len(COMMANDS) == 3
