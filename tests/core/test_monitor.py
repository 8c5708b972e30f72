from __future__ import annotations

import pytest

from lowland.core import monitor
from lowland.core.errors import InterruptedRun
from lowland.core.monitor import Monitor, Rate


def test_a_silent_monitor_stops_only_when_asked() -> None:
    quiet = Monitor()
    quiet.start("supernet", 3, "step")
    quiet.advance(1, loss=2.0)
    quiet.note("a line")
    quiet.check()
    quiet.finish()
    quiet.stopping = True
    with pytest.raises(InterruptedRun, match="stopped at a safe point"):
        quiet.check()
    assert not Monitor().stopping


def test_rates_count_only_what_this_process_did(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(monitor.time, "monotonic", lambda: now)
    rate = Rate(50, done=10)
    assert rate.per_second == 0.0
    assert rate.seconds_left is None
    now = 104.0
    assert rate.seconds_left is None
    rate.update(30)
    assert rate.per_second == 5.0
    assert rate.seconds_left == 4.0
