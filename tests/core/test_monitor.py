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


class Steps:
    """A rate fed by a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, even: bool = True) -> None:
        self.now, self.done = 100.0, 0
        monkeypatch.setattr(monitor.time, "monotonic", lambda: self.now)
        self.rate = Rate(10**6, even=even)

    def take(self, seconds: float, per_second: float) -> None:
        """Steps at an even pace."""
        for _ in range(round(seconds * per_second)):
            self.now += 1 / per_second
            self.done += 1
            self.rate.update(self.done)


def test_a_collapsed_rate_is_told_after_ten_seconds_and_no_longer_than_it_lasts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = Steps(monkeypatch)
    steps.take(1, 2.0)  # the first steps are slow
    steps.take(30, 9.7)
    assert steps.rate.best == pytest.approx(9.7, rel=0.01)
    assert steps.rate.lull("step") is None
    steps.take(8, 0.5)
    assert not steps.rate.collapsed
    steps.take(10, 0.5)
    assert steps.rate.collapsed
    assert steps.rate.lull("step") == (
        f"slow: {steps.rate.recent:.2g} step/s where 9.7 was reached; other programs use this machine: free some "
        "cores, or stop and resume with --set compute.threads=1"
    )
    assert 0.3 < steps.rate.recent < 1.0
    steps.take(200, 0.05)
    assert steps.rate.collapsed
    assert steps.rate.recent == pytest.approx(0.05)
    steps.take(30, 5.0)
    assert not steps.rate.collapsed
    assert steps.rate.lull("step") is None


def test_small_and_short_changes_are_no_collapse(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch)
    steps.take(20, 10.0)
    for _ in range(5):
        steps.take(60, 2.6)
        assert not steps.rate.collapsed
        steps.now += 8.0  # a checkpoint on a slow disk
        steps.take(20, 10.0)
        assert not steps.rate.collapsed


def test_slow_steps_from_the_beginning_are_no_collapse(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch)
    steps.take(600, 0.05)
    assert not steps.rate.collapsed


def test_units_of_different_cost_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = Steps(monkeypatch, even=False)
    steps.take(20, 10.0)
    steps.take(100, 0.1)
    assert not steps.rate.collapsed
    assert steps.rate.lull("network") is None
