"""TensorBoard's own reader finds the curves, settings and figures of a run in its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from told import ended, search, start, train, whole

import lowland as package
from lowland.app.callbacks import Calling
from lowland.core.errors import InterruptedRun, LowlandError
from lowland.core.monitor import Monitor
from lowland.store.artifacts import HISTORY
from lowland.store.run import Run
from whole_runs import Command, options

accumulators = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="the extra tensorboard is not installed"
)
from lowland.app.callbacks.tensorboard import TensorBoard  # noqa: E402  # needs the extra


def read(folder: Path) -> Any:
    found = accumulators.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
    found.Reload()
    return found


def curve(folder: Path, name: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in read(folder).Scalars(name)]


def test_curves_settings_and_figures_are_read_back(tmp_path: Path) -> None:
    whole(TensorBoard(), tmp_path)
    folder = tmp_path / "tensorboard"
    assert curve(folder / "supernet", "loss") == [(10, 10.0), (20, 5.0), (30, pytest.approx(10 / 3)), (40, 2.5)]
    rates = curve(folder / "supernet", "learning_rate")
    assert rates[0] == (1, pytest.approx(0.1))  # before the first reading of the loss every step has its own
    assert rates[-1] == (40, pytest.approx(0.0025))
    assert curve(folder / "search", "score") == [(1, 1.0), (2, 3.0), (3, 2.0)]
    assert [step for step, _ in curve(folder / "search", "best")] == [1, 2, 3]
    root = read(folder)
    assert curve(folder, "networks/test top-1") == [(1, 89.0), (2, 88.0)]
    assert curve(folder, "networks/test top-1 standard error") == [(1, 0.5), (2, 0.5)]
    (text,) = root.Tensors("settings/text_summary")
    assert b"    space: nasbench201\n" in text.tensor_proto.string_val[0]
    (text,) = root.Tensors("run/text_summary")
    assert b"steps: 40 supernet\n    torch: 2.14\n" in text.tensor_proto.string_val[0]
    assert "_hparams_/session_start_info" in root.summary_metadata


def test_a_resumed_or_repeated_stage_hides_what_was_drawn_before(tmp_path: Path) -> None:
    first = Calling(Monitor(), [TensorBoard()])
    first.begin(start(tmp_path))
    train(first, last=35)
    first.fail(InterruptedRun("stopped"))
    again = Calling(Monitor(), [TensorBoard()])
    again.begin(start(tmp_path, resumed=True))
    train(again, first=21)  # from the checkpoint
    again.leave("supernet", 1.0)
    search(again)
    again.end(ended())
    assert [step for step, _ in curve(tmp_path / "tensorboard/supernet", "loss")] == [10, 20, 21, 30, 40]
    third = Calling(Monitor(), [TensorBoard()])
    third.begin(start(tmp_path, resumed=True))
    search(third)
    third.end(ended())
    assert [step for step, _ in curve(tmp_path / "tensorboard/search", "score")] == [1, 2, 3]


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    whole(TensorBoard(tmp_path / "mine"), tmp_path / "run")
    assert len(curve(tmp_path / "mine/supernet", "loss")) == 4
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["tensorboard", "tensorboard/supernet"])
def test_a_link_in_the_run_is_refused(name: str, tmp_path: Path) -> None:
    run, outside = tmp_path / "run", tmp_path / "outside"
    (run / name).parent.mkdir(parents=True)
    outside.mkdir()
    (run / name).symlink_to(outside)
    monitor = Calling(Monitor(), [TensorBoard()])
    with pytest.raises(LowlandError, match="is a link"):
        monitor.begin(start(run))
    assert list(outside.iterdir()) == []


@pytest.mark.slow
def test_the_curves_of_a_run_are_those_of_its_files(tmp_path: Path, lowland: Command) -> None:
    run = tmp_path / "run"
    assert lowland("run", *options("--out", str(run), "--logger", "tensorboard", "--quiet")).code == 0
    result = package.resume(run, quiet=True)
    folder = run / "tensorboard"
    losses = curve(folder / "supernet", "loss")
    assert [step for step, _ in losses][-1] == 20
    history = Run.open(run, read_only=True).read_json(HISTORY)["loss"]
    assert losses[-1][1] == pytest.approx(history[-1], rel=0.5)
    shown = dict(curve(folder, "networks/test top-1"))
    (figure,) = [each for each in result.networks[0]["figures"] if each.label == "test top-1"]
    assert shown == {1: pytest.approx(figure.value)}
    assert dict(curve(folder, "networks/score"))[1] == pytest.approx(result.networks[0]["score"])
    assert len(curve(folder / "search", "score flatness")) == 8
