"""docs/guide/detection.md: every command and the piece of Python do what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from colour_run import colour_run
from lowland.core.registry import SUITES
from lowland.evaluation.detection.design import DESIGNS
from made_coco import coco
from whole_runs import Command

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "detection.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the pages are not part of the distribution")


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    """The preset small, smaller still."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DESIGNS, "small", replace(DESIGNS["small"], width=16, groups=4, sides=(64,), longest=64))
        yield


@pytest.mark.slow
def test_every_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lowland: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faster_coco_eval")
    pytest.importorskip("timm")
    text = PAGE.read_text(encoding="utf-8")
    coco(tmp_path / "coco")
    colour_run(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    layout = re.findall(r"^ {4}(coco/\S+)$", text, re.MULTILINE)
    assert len(layout) == 4
    assert all((tmp_path / path).exists() for path in layout)
    commands = [shlex.split(line) for line in re.findall(r"^ {4}\$ lowland (.*)$", text, re.MULTILINE)]
    assert len(commands) == 3
    for arguments in commands:
        said = lowland(*arguments)
        assert said.code == 0, said.err
    assert (tmp_path / "runs/mine/evaluation/detection.json").is_file()
    assert (tmp_path / "runs/mine/detection/seed-0/model.safetensors").is_file()
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    values: dict[str, object] = {}
    exec(code, values)
    assert "2 seeds" in capsys.readouterr().out


def test_the_page_names_every_preset() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{preset}` |" in text for preset in DESIGNS)
    assert "detection" in SUITES.names()
