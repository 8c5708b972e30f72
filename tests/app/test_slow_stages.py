"""A stage that other programs slow down says so, on the terminal and to `lowland status`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from lowland.app.display import status_lines
from lowland.app.shown import shown
from lowland.core import monitor
from lowland.core.config import Config
from lowland.core.monitor import Monitor
from lowland.store.run import Run
from lowland.workflow.recorded import Recorded

LULL = "step/s where 10.0 was reached; other programs use this machine"


class Clock:
    """Time that passes by work alone."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(monitor.time, "monotonic", lambda: self.now)

    def work(self, heard: Monitor, unit: str) -> None:
        """A hundred units of 0.1 s, eight of 3 s, a hundred of 0.1 s and eight of 3 s."""
        heard.start("a stage", 216, unit)
        for done in range(1, 217):
            self.now += 3.0 if 100 < done <= 108 or done > 208 else 0.1
            heard.advance(done)
        heard.finish()


@pytest.mark.parametrize("terminal", [False, True])
def test_the_terminal_says_it_once_a_stage(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    said = io.StringIO()
    display = shown(Console(file=said, width=200, force_terminal=terminal))
    clock = Clock(monkeypatch)
    clock.work(display, "network")
    assert "slow" not in said.getvalue()
    clock.work(display, "step")
    assert said.getvalue().count(LULL) == 1
    clock.work(display, "step")
    assert said.getvalue().count(LULL) == 2


def test_status_says_it_while_it_lasts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clock = Clock(monkeypatch)  # before the run begins: it counts its seconds by the same clock
    with Run.create(tmp_path / "run", Config()) as run:
        run.start_stage("supernet")
        clock.work(Recorded(run, Monitor(), "supernet"), "step")
        assert json.loads((run.path / "progress.json").read_text())["lull"].count(LULL) == 1
        lines = status_lines(Run.open(run.path, read_only=True).status())
        assert [line.strip() for line in lines if "slow" in line] == [run.status()["progress"]["lull"]]
        assert lines.index(next(line for line in lines if "slow" in line)) == 2
        run.progress("supernet", 216, 216, 1.0, None)
        assert not any("slow" in line for line in status_lines(run.status()))
    with Run.open(run.path, read_only=True) as stopped:
        assert not any("slow" in line for line in status_lines(stopped.status()))
