"""DARTS-PT in whole runs: what it leaves, that a stop between its rounds changes nothing, and its planned time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lowland.core.errors import InterruptedRun
from lowland.core.monitor import Monitor
from lowland.data import load
from lowland.store.run import Run
from lowland.testing.searchers import searched
from lowland.testing.tiny import CPU
from lowland.workflow import pipeline
from lowland.workflow.budget import scaled
from lowland.workflow.plan import plan
from lowland.workflow.presets import assemble
from lowland.workflow.searchers import chosen
from lowland.workflow.searchers.gradient import darts_pt, trial
from whole_runs import TINY

SETTINGS: dict[str, Any] = {
    "supernet": {"epochs": 2, "batch_size": 50},
    "search": {"searcher": "darts-pt", "options": {"darts-pt": {"tune_epochs": 2, "images": 40}}},
}


class Stopping(Monitor):
    """Asks for a stop at a step of the tuning."""

    def __init__(self, at: int) -> None:
        self.at, self.tuning = at, False

    def start(self, what: str, total: int, unit: str = "step", done: int = 0) -> None:
        """Note what goes on."""
        self.tuning = what.startswith("tuning")

    def advance(self, done: int, **facts: Any) -> None:
        """Ask for a stop."""
        self.stopping = self.tuning and done >= self.at


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("darts-pt") / "run"
    pipeline.run(assemble(TINY, SETTINGS), run, last="search")
    return run


def test_every_round_is_in_the_record(whole: Path) -> None:
    relaxed = searched(whole)["relaxed"]
    config = assemble(TINY, SETTINGS)
    assert [each["rounds"] for each in relaxed["epochs"][2:]] == [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]
    assert [each["epoch"] for each in relaxed["epochs"]] == list(range(2 + 10))
    assert relaxed["chosen"] == 11
    assert sorted(each["edge"] for each in relaxed["decisions"]) == list(range(6))
    assert all(len(each["without"]) == 5 for each in relaxed["decisions"])
    from_rounds = {each["edge"]: each["kept"] for each in relaxed["decisions"]}
    names = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert searched(whole)["ranking"][0]["genes"] == [names.index(from_rounds[edge]) for edge in range(6)]
    with Run.open(whole, read_only=True) as opened:
        assert opened.load_checkpoint(darts_pt.RELAXED) is None, "what was kept for a stop is gone"
        assert opened.load_checkpoint(darts_pt.TUNING) is None
    data = load(config.data, seed=config.seed)
    steps = len(data.train) // 50
    assert str(plan(config, data, CPU, "search")).startswith(f"steps: {12 * steps} relaxed supernet;")


@pytest.mark.parametrize("at", [1, 7, 25])
def test_a_stop_between_rounds_changes_nothing(at: int, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(InterruptedRun):
        pipeline.run(assemble(TINY, SETTINGS), tmp_path / "run", last="search", monitor=Stopping(at))
    with Run.open(tmp_path / "run", read_only=True) as opened:
        kept = opened.load_checkpoint(darts_pt.TUNING)
        assert kept is not None
        assert kept[1]["step"] == at
    pipeline.resume(tmp_path / "run", last="search")
    assert searched(tmp_path / "run") == searched(whole)


def test_the_tuning_follows_the_length_of_the_training_and_is_planned() -> None:
    config = assemble(TINY, SETTINGS, {"supernet": {"epochs": 8, "min_steps": 0}})
    data = load(config.data, seed=config.seed)
    searcher = chosen(config.search)
    pieces = searcher.other_pieces(config, data, CPU, lambda work: [work(0), 0.1][1])
    steps = len(data.train) // 50
    assert pieces[trial.TUNING_EPOCH] == pytest.approx(0.1 * steps)
    assert pieces[trial.DECISIONS] == pytest.approx(0.1 * 6 * 5), "one batch, and of each edge 5 are left out"
    assert searcher.other_seconds(config, data, pieces) == pytest.approx(10 * 0.1 * steps + 3.0)
    short = scaled(config, 0.25)
    assert short.search.options["darts-pt"]["tune_epochs"] == 1
    assert scaled(config, 2.0).search.options["darts-pt"]["tune_epochs"] == 4
    assert chosen(short.search).other_seconds(short, data, pieces) == pytest.approx(5 * 0.1 * steps + 3.0)
    ((_, recipe, _),) = searcher.planned(config, data)
    assert recipe.epochs == 8 + 10
