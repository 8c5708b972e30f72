"""What only reads a run imports no torch, which takes several times as long as all that is read."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lowland.report import render
from lowland.report.gather import gather
from lowland.store.artifacts import Searched
from lowland.store.run import Run
from whole_runs import made

CODE = """
import json, sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        assert name.partition(".")[0] not in ("torch", "torchvision", "scipy"), f"{name} is imported"
sys.meta_path.insert(0, Refused())
from lowland.app.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["lowland", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
"""
"""Commands one after the other in a process in which torch cannot be imported."""


def without_torch(*commands: list[str]) -> str:
    given = [sys.executable, "-c", CODE, json.dumps(commands)]
    found = subprocess.run(given, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"})
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    evaluate = {"suites": ["classification", "corruptions", "landscape"]}
    return made(tmp_path_factory.mktemp("run") / "run", {"evaluate": evaluate})


def test_a_finished_run_is_shown_and_its_report_made_anew(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    without_torch(
        ["report", str(run), "--out", str(tmp_path / "page.html")],
        ["report", str(copy)],
        ["status", str(run)],
        ["ls", str(run.parent)],
        ["diff", str(run), str(copy)],
        ["history", str(run)],
    )
    page = (tmp_path / "page.html").read_text()
    with Run.open(run, read_only=True) as opened:
        assert page == render(gather(opened))
    assert "nor_conv" in page
    assert "15,625" in page
    assert (copy / "report.html").is_file()


def test_listings_and_help() -> None:
    kinds = ("spaces", "measures", "strategies", "searchers", "suites", "executors", "data")
    without_torch(*([kind] for kind in kinds), ["--help"], ["run", "--help"])


def test_a_record_of_before_still_makes_a_report_of_the_same_words(run: Path, tmp_path: Path) -> None:
    """search.json of earlier versions tells neither the size of the space nor the cells: they are asked for then."""
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    with Run.open(copy) as opened:
        told = gather(opened)
        searched = json.loads((copy / "search.json").read_text())
        for key in ("space_size", "cells", "objectives", "scored_by"):
            assert searched.pop(key) is not None
        opened.write_json("search.json", searched)
        assert Searched.read(opened).space_size is None
        assert gather(opened) == told
