"""docs/guide/tutorial.md: from made-up pictures through every command and every piece of Python, as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from whole_runs import Command

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "tutorial.md"

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the pages are not part of the distribution")


def blocks() -> list[tuple[str, str]]:
    """Language and text of every block, in their order."""
    return re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")
def test_from_pictures_to_four_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lowland: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("timm", "onnxruntime", "onnxscript", "faster_coco_eval"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "tutorial"}
    printed, verbs = "", []
    for language, body in blocks():
        if language == "python":
            exec(compile(body, "docs/guide/tutorial.md", "exec"), names)
            printed += capsys.readouterr().out
        else:
            assert language == "bash", language
            for line in body.replace("\\\n", " ").splitlines():
                program, *words = shlex.split(line)
                assert program == "lowland", line
                said = lowland(*words)
                assert said.code == 0, f"{line}\n{said.err}"
                verbs.append(words[0])
    assert verbs == ["train", "export", "detect", "segment"]
    assert "network.onnx: largest difference" in printed
    assert re.search(
        r"detection with its trained weights AP50 [\d.]+ %\nsegmentation with its trained weights", printed
    )
    page = (tmp_path / "runs/mine/report.html").read_text(encoding="utf-8")
    assert "AP at IoU .5" in page
    assert "IoU, road" in page


def test_the_page_goes_through_all_four() -> None:
    """What the page must show, so that a shorter page does not pass."""
    text = PAGE.read_text(encoding="utf-8")
    for needed in (
        'timm.create_model("local-dir:runs/mine/network", pretrained=True, features_only=True)',
        "onnxruntime.InferenceSession(",
        "lowland detect runs/mine --coco coco",
        "lowland segment runs/mine --dataset camvid",
    ):
        assert needed in text, needed
