"""docs/guide/segmentation.md: every command and the piece of Python do what the page says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from colour_run import colour_run
from lowland.core.registry import SUITES
from lowland.data.segmentation.augmentation import Augmentation
from lowland.evaluation.segmentation.design import DESIGNS
from made_scenes import camvid, cityscapes, voc
from whole_runs import Command

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "segmentation.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the pages are not part of the distribution")


@pytest.fixture(autouse=True)
def tiny() -> Iterator[None]:
    """The preset small, smaller still."""
    small = Augmentation(base=(64, 48), crop=(32, 32))
    with pytest.MonkeyPatch.context() as patch:
        every = dict.fromkeys(DESIGNS["small"].augmentation, small)
        patch.setitem(DESIGNS, "small", replace(DESIGNS["small"], augmentation=every))
        yield


@pytest.mark.slow
def test_every_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lowland: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    text = PAGE.read_text(encoding="utf-8")
    camvid(tmp_path / "CamVid", test=2)
    voc(tmp_path / "data")
    cityscapes(tmp_path / "cityscapes")
    colour_run(tmp_path / "runs" / "mine")
    monkeypatch.chdir(tmp_path)
    commands = [shlex.split(line) for line in re.findall(r"^ {4}\$ lowland (.*)$", text, re.MULTILINE)]
    assert len(commands) == 3
    for arguments in commands:
        said = lowland(*arguments)
        assert said.code == 0, said.err
    assert (tmp_path / "runs/mine/evaluation/segmentation.json").is_file()
    assert (tmp_path / "runs/mine/segmentation/seed-0/model.safetensors").is_file()
    assert "IoU, road" in (tmp_path / "runs/mine/report.html").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    values: dict[str, object] = {}
    exec(code, values)
    assert "2 seeds" in capsys.readouterr().out


def test_the_page_names_every_preset_and_data_set() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"| `{preset}` |" in text for preset in DESIGNS)
    assert all(f"| `{name}` |" in text for name in DESIGNS["paper"].augmentation)
    assert "segmentation" in SUITES.names()
