"""A run in lines: begin and end of each stage, and between them no silence and no flood."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lowland.core import lines, monitor
from lowland.core.config import Config
from lowland.core.errors import InterruptedRun
from lowland.core.lines import Lines
from lowland.core.monitor import Start


class Clock:
    """Time that passes when told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(monitor.time, "monotonic", lambda: self.now)


def told(monkeypatch: pytest.MonkeyPatch, total: int, seconds: float) -> list[str]:
    """What is written of a stage of so many steps that take so long each."""
    clock, said = Clock(monkeypatch), list[str]()
    heard = Lines(said.append)
    heard.start("supernet", total, "step")
    for done in range(1, total + 1):
        clock.now += seconds
        heard.advance(done, loss=1.0 / done, learning_rate=0.1)
    heard.finish()
    return said


def test_five_percent_or_a_minute_whichever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    twenty = told(monkeypatch, 1000, 0.6)  # ten minutes: 5 % are 30 s
    assert len(twenty) == 21
    assert twenty[1] == "supernet     50/1000 (5%), 1.7 step/s, 9 min 30 s left, loss 0.02"
    minutes = told(monkeypatch, 1000, 36.0)  # ten hours: 5 % are half an hour
    assert len(minutes) == pytest.approx(500, abs=3)
    assert minutes[1] == "supernet     2/1000 (0%), 1.7 step/min, 9 h 58 min left, loss 0.5"


def test_a_quick_stage_is_no_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, 2000, 0.001) == [
        "supernet     0/2000 step",
        "supernet     2000/2000 1000.0 step/s, loss 0.0005",
    ]
    assert len(told(monkeypatch, 2000, 0.01)) == 5  # twenty seconds


def test_begin_stages_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    said: list[str] = []
    heard = Lines(said.append)
    start = Start(
        path=Path("runs/x"),
        created="2026-01-01",
        config=Config(),
        resumed=False,
        stages=("supernet", "search"),
        facts={"torch": "2.14"},
        changed={"seed": 3},
    )
    heard.begin(start)
    heard.enter("supernet")
    heard.note("careful")
    heard.detail("much more")
    heard.leave("supernet", 70.0)
    heard.end(SimpleNamespace(seconds={"supernet": 70.0, "search": 12.0}))
    assert said == [
        "run runs/x; to do: supernet, search",
        "stage supernet begins",
        "note: careful",
        "stage supernet done in 1 min 10 s",
        "1 min 22 s in all: supernet 1 min 10 s, search 12 s",
    ]
    said.clear()
    more = Lines(said.append, verbose=True)
    more.begin(start)
    more.detail("much more")
    assert said[1:] == ["torch 2.14", "preset quick; set otherwise: seed=3", "much more"]


def test_what_stops_says_how_far_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    Clock(monkeypatch)
    said: list[str] = []
    heard = Lines(said.append)
    heard.start("search", 10, "network", done=2)
    heard.advance(4)
    heard.fail(InterruptedRun("x"))
    assert said == ["search       2/10 network", "search       4/10, stopped"]
    assert lines.stamp()[4] == "-"
