"""run.log: whole lines that nothing can forge, of bounded size, in no other place than the run directory."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lowland.core.errors import RunError
from lowland.store import log
from lowland.store.log import LOG, OLD, RunLog

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 "


def test_entries_are_appended_with_the_time(tmp_path: Path) -> None:
    RunLog(tmp_path).write("one")
    RunLog(tmp_path).write("two\nlines\n")
    assert re.fullmatch(f"{STAMP}one\n{STAMP}two\n    lines\n", (tmp_path / LOG).read_text())


def test_no_name_forges_an_entry_or_steers_a_terminal(tmp_path: Path) -> None:
    RunLog(tmp_path).write("class a\n2026-01-01T00:00:00+00:00 all is well\x1b[2J\r\x85\u2028\udcff τ")
    lines = (tmp_path / LOG).read_bytes().decode("utf-8").split("\n")
    assert lines[1:] == [r"    2026-01-01T00:00:00+00:00 all is well\x1b[2J\r\x85\u2028\udcff τ", ""]


def test_its_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MOST_BYTES", 1000)
    kept = RunLog(tmp_path)
    for number in range(100):
        kept.write(f"entry {number} {'x' * 50}")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes.keys() == {LOG, OLD}
    assert max(sizes.values()) < 1200
    text = (tmp_path / OLD).read_text() + (tmp_path / LOG).read_text()
    numbers = [int(each) for each in re.findall(r"entry (\d+)", text)]
    assert numbers == list(range(numbers[0], 100))


def test_a_long_entry_loses_its_middle(tmp_path: Path) -> None:
    RunLog(tmp_path).write("a" + "x" * 10**6 + "b")
    text = (tmp_path / LOG).read_text()
    assert len(text) < 70_000
    assert "characters left out" in text
    assert text.endswith("xb\n")


@pytest.mark.parametrize("name", [LOG, OLD])
def test_a_link_is_refused_and_what_it_leads_to_stays(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_BYTES", 1)
    run, precious = tmp_path / "run", tmp_path / "precious"
    run.mkdir()
    precious.write_text("precious")
    (run / name).symlink_to(precious)
    with pytest.raises(RunError, match="is a link"):
        RunLog(run).write("x")
    assert precious.read_text() == "precious"


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / LOG)
    with pytest.raises(RunError, match="no regular file"):
        RunLog(tmp_path).write("x")
