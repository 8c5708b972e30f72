"""docs/guide/export.md and docs/guide/timm.md: every command and every piece of Python does what the page says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from lowland.delivery.forms.form import metadata
from lowland.delivery.forms.table import FORMS
from lowland.delivery.network import load
from whole_runs import Command, copied

GUIDES = Path(__file__).parents[2] / "docs" / "guide"

pytestmark = pytest.mark.skipif(not GUIDES.is_dir(), reason="the pages are not part of the distribution")


def python(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (GUIDES / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture
def there(pristine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a finished run at runs/mine and a copy of its network at copied/."""
    run = copied(pristine, tmp_path / "runs" / "mine")
    copied(run / "network", tmp_path / "copied")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_exporting(there: Path, lowland: Command) -> None:
    for form in FORMS.values():
        for needed in form.packages:
            pytest.importorskip(needed)
    page = (GUIDES / "export.md").read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"^ {4}\$ (.*)$", page, re.MULTILINE)]
    assert len(commands) == 5
    for program, *arguments in commands:
        assert program == "lowland"
        said = lowland(*arguments)
        assert (said.code, said.err) == (0, ""), said.err
    for form in FORMS.values():
        assert f"| `{form.name}` | `network{form.suffix}` |" in page
        assert (there / "exported" / f"network{form.suffix}").is_file()
    assert (there / "network.onnx.json").is_file()
    assert (there / "checked.pt2.json").is_file()
    assert not (there / "unchecked.pt2.json").exists()
    assert {key for key in metadata(load(there / "copied"), True) if f"`{key}`" not in page} == set()
    values: dict[str, object] = {}
    (code,) = python("export.md")
    exec(code, values)
    assert values["names"] == [values["names"][0]] * 3  # type: ignore[index]


@pytest.mark.slow
def test_timm(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("timm")
    names, delivered, finer, segmentation = python("timm.md")
    exec(names, {})
    assert "lowland_genas_flatness_cifar100" in capsys.readouterr().out
    values: dict[str, object] = {}
    exec(delivered, values)
    assert {"model", "features", "body", "five", "grey"} <= values.keys()
    exec(finer, {})
    assert "[2, 4, 8, 16, 16]" in capsys.readouterr().out
    pytest.importorskip("segmentation_models_pytorch")
    exec(segmentation, {})
