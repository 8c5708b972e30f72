"""`lowland report A B …`: runs side by side on one page, which are only read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from golden.relocate import relocated
from lowland.report.beside import Found, letter
from lowland.workflow.beside import side_by_side
from whole_runs import Command, content, copied

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1"

READING = ("run.log", "archive.sqlite-wal", "archive.sqlite-shm")
"""What SQLite makes beside an archive that is read, and what differs with every call."""


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """A finished run, one that was stopped, and another place of the first, whose name is no HTML."""
    finished = relocated(GOLDEN / "evolution", tmp_path / "a")
    stopped = relocated(GOLDEN / "darts-interrupted", tmp_path / "b")
    return [finished, stopped, copied(finished, tmp_path / "<b>c</b>")]


def test_one_page_of_three_runs(lowland: Command, runs: list[Path], tmp_path: Path) -> None:
    before = [content(run, READING) for run in runs]
    out = tmp_path / "pages" / "three.html"
    said = lowland("report", *runs, "--out", out)
    assert said.code == 0, said.err
    assert said.out.strip() == f"report   {out}"
    page = out.read_text()
    assert "3 runs side by side" in page
    assert "<b>c</b>" not in page
    assert "&lt;b&gt;c&lt;/b&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    rows = dict(re.findall(r'<tr><th scope="row">([^<]+).*?</th>(.*?)</tr>', page))
    one, other, third = re.findall(r"<td[^>]*>(.*?)</td>", rows["space"])
    assert (one, other, third) == ("nasbench201", "darts", "nasbench201")
    one, other, third = re.findall(r"<td[^>]*>(.*?)</td>", rows["test top-1"])
    assert one == third
    assert one.startswith("33.33<small>")
    assert "n = " in one
    assert other == "–"
    assert {"intervals", "losses", "noise"} <= set(re.findall(r'id="(\w+)-figure_1"', page))
    assert [content(run, READING) for run in runs] == before
    side_by_side(runs, out)
    assert out.read_text() == page


def test_of_one_run_it_is_the_report(lowland: Command, runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "one.html"
    assert lowland("report", runs[0], "--out", out).code == 0
    assert "side by side" not in out.read_text()


def test_equal_runs(runs: list[Path], tmp_path: Path) -> None:
    page = side_by_side([runs[0], runs[2]], tmp_path / "page.html").read_text()
    assert "All learned from the same images." in page
    assert "All settings are equal." in page


def test_what_is_refused(lowland: Command, runs: list[Path], tmp_path: Path) -> None:
    assert "named twice" in lowland("report", runs[0], runs[0]).fault
    assert "which is only read" in lowland("report", *runs, "--out", runs[1] / "page.html").fault
    assert str(tmp_path / "nosuch") in lowland("report", runs[0], tmp_path / "nosuch", "--out", "x.html").fault
    assert not (runs[1] / "page.html").exists()


def test_letters_and_intervals() -> None:
    assert [letter(place) for place in (0, 25, 26, 27, 52)] == ["A", "Z", "AA", "AB", "BA"]
    low, high = Found(value=50.0, standard_error=2.0, n=100).interval or (0.0, 0.0)
    assert (low, high) == pytest.approx((46.08, 53.92), abs=0.001)
    assert Found(value="|conv|", standard_error=1.0).interval is None
    assert Found(value=3).interval is None
