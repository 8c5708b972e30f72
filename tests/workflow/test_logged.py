"""run.log: written in every run, appended by resume, no result of a stage, and no reason for a run to fail."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest

from lowland.core.errors import ConfigError, LowlandError, RunError
from lowland.core.monitor import Monitor
from lowland.store import log
from lowland.workflow import pipeline
from whole_runs import content


class Noted(Monitor):
    """Remembers notes; raises, warns or spoils something where it is told to."""

    def __init__(self, act: Any = None) -> None:
        self.notes: list[str] = []
        self.act = act
        self.ended: list[Any] = []

    def enter(self, stage: str) -> None:
        if self.act is not None:
            self.act()

    def note(self, message: str) -> None:
        self.notes.append(message)

    def end(self, result: Any) -> None:
        self.ended.append(result)

    def fail(self, error: BaseException) -> None:
        self.ended.append(error)


def test_a_run_keeps_its_log_and_no_stage_counts_it(pristine: Path) -> None:
    text = (pristine / "run.log").read_text()
    lines = [line.partition(" ")[2] for line in text.splitlines()]
    assert lines[0].startswith("10 classes; 320 / 80 / 359 train / search / test")
    assert lines[1].startswith("steps: 20 supernet, 72 retraining; 1 thread")
    begun = lines.index(f"run {pristine}; to do: supernet, search, train, evaluate, report")
    for word in ("lowland ", "torch ", "device cpu", "precision ", "threads 1"):
        assert word in lines[begun + 1]
    assert lines[begun + 2].startswith("preset quick; set otherwise: seed=3, data.name=digits, ")
    assert "search.options.evolution.population=4" in lines[begun + 2]
    assert "supernet.batch_size" not in lines[begun + 2]
    for stage in ("supernet", "search", "train", "evaluate", "report"):
        assert lines.index(f"stage {stage} begins") < next(
            place for place, line in enumerate(lines) if line.startswith(f"stage {stage} done in ")
        )
    assert " in all: supernet " in lines[-1]
    assert "run.log" not in (pristine / "manifest.json").read_text()


def test_resume_appends(finished: Path) -> None:
    before = (finished / "run.log").read_text()
    result = pipeline.resume(finished)
    after = (finished / "run.log").read_text()
    assert after.startswith(before)
    assert " goes on; done: supernet, search, train, evaluate, report; to do: nothing" in after[len(before) :]
    assert sum(result.seconds.values()) > 0


def test_a_refused_change_leaves_no_trace(finished: Path) -> None:
    before = content(finished)
    with pytest.raises(ConfigError):
        pipeline.resume(finished, changes=[{"retrain": {"epochs": -1}}])
    assert content(finished) == before


def test_unexpected_errors_leave_their_traceback_and_warnings_their_place(finished: Path) -> None:
    def act() -> None:
        warnings.warn("a library is\nunhappy", UserWarning, stacklevel=1)
        raise ZeroDivisionError("of a bug")

    noted = Noted(act)
    shown = warnings.showwarning
    with pytest.warns(UserWarning, match="unhappy"), pytest.raises(ZeroDivisionError):
        pipeline.resume(finished, restart="report", monitor=noted)
    assert warnings.showwarning is shown
    assert isinstance(noted.ended[0], ZeroDivisionError)
    text = (finished / "run.log").read_text()
    assert "warning: a library is\n    unhappy (UserWarning, " in text
    assert "Traceback (most recent call last):\n" in text
    assert text.endswith("    ZeroDivisionError: of a bug\n")


def test_a_sentence_of_lowland_is_a_line(finished: Path) -> None:
    def act() -> None:
        raise LowlandError("something a person can mend")

    with pytest.raises(LowlandError):
        pipeline.resume(finished, restart="report", monitor=Noted(act))
    text = (finished / "run.log").read_text()
    assert text.endswith(" error: something a person can mend\n")
    assert "Traceback" not in text


def test_a_log_that_is_a_link_is_refused_before_anything_is_computed(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (finished / "run.log").unlink()
    (finished / "run.log").symlink_to(tmp_path / "precious")
    noted = Noted()
    with pytest.raises(RunError, match=r"run\.log is a link"):
        pipeline.resume(finished, restart="report", monitor=noted)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_log_that_fails_later_is_told_once_and_the_run_goes_on(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    noted = Noted(lambda: monkeypatch.setattr(log.inside, "append", full))
    result = pipeline.resume(finished, restart="report", monitor=noted)
    assert result.stages[-1] == "report"
    (note,) = noted.notes
    assert note.startswith("run.log cannot be written any more, and the run goes on without it: the disk")
