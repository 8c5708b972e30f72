"""Callbacks hear of everything in its order, can stop a run, and cannot lose it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lowland as package
from lowland.app.callbacks import READY, chosen, ready
from lowland.core.errors import ConfigError, InterruptedRun, LowlandError, LowlandWarning
from lowland.core.monitor import Start
from whole_runs import Command, content, options


class Heard(package.Callback):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_start(self, start: Start) -> None:
        self.calls.append(("start", start))

    def on_stage_start(self, stage: str) -> None:
        self.calls.append(("stage", stage))

    def on_advance(self, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
        self.calls.append(("advance", stage, done, total, figures))

    def on_note(self, message: str) -> None:
        self.calls.append(("note", message))

    def on_stage_end(self, stage: str, seconds: float) -> None:
        self.calls.append(("done", stage, seconds))

    def on_end(self, result: Any) -> None:
        self.calls.append(("end", result))

    def on_failure(self, error: BaseException) -> None:
        self.calls.append(("failure", error))

    def advances(self, stage: str) -> list[tuple[Any, ...]]:
        return [call[2:] for call in self.calls if call[:2] == ("advance", stage)]


def test_everything_is_heard_in_its_order(finished: Path) -> None:
    heard = Heard()
    result = package.resume(finished, restart="search", quiet=True, callbacks=[heard])
    kinds = [call[:2] for call in heard.calls if call[0] not in ("advance", "start", "end")]
    assert kinds == [(what, stage) for stage in ("search", "train", "evaluate", "report") for what in ("stage", "done")]
    assert heard.calls[0][0] == "start"
    assert heard.calls[-1] == ("end", result)
    start = heard.calls[0][1]
    assert (start.path, start.resumed, start.done) == (finished, True, ("supernet",))
    assert start.stages == ("search", "train", "evaluate", "report")
    assert start.facts["precision"] in ("fp32", "bf16")
    assert start.changed["supernet.epochs"] == 2
    assert "supernet.batch_size" not in start.changed

    train = heard.advances("train")
    assert [(done, total) for done, total, _ in train] == [(step, 72) for step in range(1, 73)]
    assert {"loss", "learning_rate"} == set(train[-1][2])
    assert train[-1][2]["learning_rate"] < train[40][2]["learning_rate"]
    search = heard.advances("search")
    assert [done for done, *_ in search] == list(range(1, 9))
    assert {"best", "genotype", "candidate"} < set(search[-1][2])
    assert {"score flatness", "score macs"} < set(search[-1][2])  # their sum orders nothing
    assert [done for done, *_ in heard.advances("evaluate/corruptions")] == [1, 2, 3, 4]
    seconds = {call[1]: call[2] for call in heard.calls if call[0] == "done"}
    assert seconds == {name: result.seconds[name] for name in seconds}


def test_the_networks_of_a_run_are_told_apart(finished: Path) -> None:
    heard = Heard()
    package.resume(finished, set={"retrain.top": 2}, last="train", quiet=True, callbacks=[heard])
    assert [done for done, *_ in heard.advances("train/2 of 2")] == list(range(1, 73))
    assert heard.advances("train/1 of 2") == []  # trained before


def test_a_callback_stops_a_run_which_then_goes_on(finished: Path) -> None:
    class Stop(Heard):
        def on_advance(self, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
            super().on_advance(stage, done, total, figures)
            self.stopping = done == 30

    stop = Stop()
    weights = (finished / "network/network.safetensors").read_bytes()
    with pytest.raises(InterruptedRun, match="lowland resume"):
        package.resume(finished, restart="train", quiet=True, callbacks=[stop])
    assert stop.calls[-1][0] == "failure"
    assert isinstance(stop.calls[-1][1], InterruptedRun)
    on = Heard()
    package.resume(finished, quiet=True, callbacks=[on])
    assert on.advances("train")[0][0] == 31
    assert (finished / "network/network.safetensors").read_bytes() == weights


def test_a_callback_that_fails_is_named_and_loses_nothing(finished: Path) -> None:
    class Broken(package.Callback):
        calls = 0

        def on_advance(self, stage: str, done: int, total: int, figures: Mapping[str, Any]) -> None:
            self.calls += 1
            raise KeyError("no such\nfigure")

    broken, heard = Broken(), Heard()
    with pytest.warns(LowlandWarning) as said:
        result = package.resume(finished, restart="train", last="train", quiet=True, callbacks=[broken, heard])
    (sentence,) = [str(each.message) for each in said if "callback" in str(each.message)]
    assert sentence.startswith("callback Broken.on_advance failed with KeyError: 'no such\\nfigure' (")
    assert f"{Path(__file__).name}:" in sentence
    assert sentence.endswith("; the run goes on without it")
    assert broken.calls == 1
    assert result.stages[-1] == "report"
    assert len(heard.advances("train")) == 72
    log = (finished / "run.log").read_text()
    assert "warning: callback Broken.on_advance failed" in log
    assert "    KeyError: 'no such" in log
    assert "Traceback" in log


def test_a_callback_that_cannot_begin_ends_the_call_before_anything_is_computed(finished: Path) -> None:
    class Broken(package.Callback):
        def on_start(self, start: Start) -> None:
            raise OSError("no such server")

    heard = Heard()
    with pytest.raises(
        LowlandError, match=r"callback Broken\.on_start failed with OSError: no such server \(.*lowland resume"
    ):
        package.resume(finished, restart="train", quiet=True, callbacks=[heard, Broken()])
    assert [call[0] for call in heard.calls] == ["start", "failure"]
    assert package.resume(finished, quiet=True).stages[-1] == "report"


def test_what_is_no_callback_is_refused(finished: Path) -> None:
    before = content(finished)
    for wrong, words in (
        ([print], "is a builtin_function_or_method; give objects of a subclass of lowland.Callback"),
        (["tensorbord"], "'tensorbord' is not known; it can be tensorboard, mlflow, wandb"),
        ("tensorboard", r"must be a list, such as \['tensorboard'\]"),
    ):
        with pytest.raises(ConfigError, match=words):
            package.resume(finished, callbacks=wrong)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="progress='loud' is none of auto, live, lines, none"):
        package.resume(finished, progress="loud")  # type: ignore[arg-type]
    assert content(finished) == before


@pytest.mark.parametrize("name", READY)
def test_a_missing_extra_is_one_sentence_before_anything_is_done(
    name: str, tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(ready, "import_module", missing)
    said = lowland("run", *options("--out", str(tmp_path / "run"), "--logger", f"{name}"))
    assert said.fault == (
        f"--logger {name} needs packages that are not installed (No module named {name!r}); install them with "
        f"`pip install 'lowland[{name}]'`"
    )
    assert not (tmp_path / "run").exists()


def test_extras_are_called_as_the_loggers() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]
    assert set(READY) <= set(project["optional-dependencies"])


def test_names_are_split_and_each_is_made_once() -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    own = Heard()
    found = chosen(["tensorboard, tensorboard", own, "tensorboard", own])
    assert [type(each).__name__ for each in found] == ["TensorBoard", "Heard"]
