"""A time budget: trainings as long as fit, a plan that says so, and a sentence where nothing fits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.errors import BudgetError, ConfigError
from lowland.core.seeds import numpy_rng
from lowland.core.settings import duration
from lowland.data import DataSet, load
from lowland.training import network as network_training
from lowland.training import supernet as supernet_training
from lowland.workflow import design_steps, pipeline, searchers, timing
from lowland.workflow.budget import scaled, within
from lowland.workflow.network_size import network_shape
from lowland.workflow.plan import plan
from lowland.workflow.presets import assemble
from lowland.workflow.rungs import rungs
from lowland.workflow.timing import Costs, costs, seconds
from whole_runs import TINY, Command

PIECE = Costs(supernet_step=0.1, network_step=0.2, candidate=0.5, image=1e-3, image_as_trained=1e-3, corrupted=1e-3)


@pytest.fixture(scope="module")
def data() -> DataSet:
    config = assemble(TINY)
    return load(config.data, seed=3, device=resolve(config.compute).device)


def total(config: Config, data: DataSet) -> float:
    return sum(seconds(config, data, PIECE, "report").values())


def test_every_stage_is_a_sum_of_pieces(data: DataSet) -> None:
    config = assemble(TINY, {"search": {"workers": 2}})
    found = seconds(config, data, PIECE, "report")
    assert found["supernet"] == pytest.approx(20 * 0.1)
    assert found["search"] == pytest.approx(8 * 0.5 / 2)
    assert found["train"] == pytest.approx(72 * 0.2)
    corrupted, curves = 60 * 2 * 2, 60 * 2 * 2 * 2
    assert found["evaluate"] == pytest.approx((len(data.test) + corrupted + curves) * 1e-3 + corrupted * 1e-3)
    assert list(seconds(config, data, PIECE, "search")) == ["supernet", "search"]


def test_a_lag_is_all_that_is_scored_at_a_time(data: DataSet) -> None:
    for lag, at_a_time in ((0, 1), (1, 2), (99, 8)):
        config = assemble(TINY, {"search": {"workers": 8, "lag": lag}})
        assert seconds(config, data, PIECE, "search")["search"] == pytest.approx(8 * 0.5 / at_a_time)


def test_references_train_beside_what_is_judged_and_are_judged_after(data: DataSet) -> None:
    piece = replace(PIECE, reference_step=0.3, reference_processes=2)
    asked = ["classification", "corruptions", "landscape", "references"]
    corrupted, curves = 60 * 2 * 2, 60 * 2 * 2 * 2
    for seeds, trainings in ((1, 1), (2, 3)):
        options = {"references": {"seeds": seeds}}
        config = assemble(TINY, {"evaluate": {"suites": asked, "options": options}})
        before = (len(data.test) + curves + corrupted) * 1e-3 + corrupted * 1e-3
        after = (trainings + 1) * (len(data.test) + corrupted) * 1e-3 + corrupted * 1e-3
        early = 72 * 0.2  # one trained beside the network, for as long as that took
        longest = 72 * 0.3 - early if trainings == 1 else (trainings * 72 * 0.3 - early + before) / 2
        assert seconds(config, data, piece, "report")["evaluate"] == pytest.approx(longest + after / 2)
        one = replace(piece, reference_processes=1)  # nothing trains beside anything
        everything = trainings * 72 * 0.3 + before - corrupted * 1e-3 / 2 + after
        assert seconds(config, data, one, "report")["evaluate"] == pytest.approx(everything, rel=0.01)


@pytest.mark.parametrize("top", [1, 3])
def test_rungs_are_of_the_search_and_what_goes_on_from_them_is_of_the_training(top: int, data: DataSet) -> None:
    config = assemble(TINY, {"search": {"finalists": 4, "halving": 2, "workers": 1}, "retrain": {"top": top}})
    first, last = rungs(config, data, 4)
    every = 4 * first.steps + 2 * (last.steps - first.steps)
    scoring = seconds(assemble(TINY, {"search": {"workers": 1}}), data, PIECE, "search")["search"]
    piece = replace(PIECE, rung_step=0.4)
    # A search that ends there has trained the winner as far as all others.
    assert seconds(config, data, piece, "search")["search"] == pytest.approx(scoring + 0.4 * every)
    begun = last.steps if top == 1 else 2 * last.steps + first.steps
    assert seconds(config, data, piece, "train")["train"] == pytest.approx((top * 72 - begun) * 0.2)
    said = {end: str(plan(config, data, resolve(config.compute), end)) for end in ("search", "train")}
    assert f"{every} to choose of 4 designs" in said["search"]
    assert f"{every - begun} to choose of 4 designs" in said["train"]


def test_finalists_are_timed_by_a_usual_design_and_a_busy_one(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    config = assemble(TINY, {"search": {"finalists": 4}, "network": {"channels": "fit"}})
    compute = resolve(config.compute)
    space, usual = spaces.get(config.space), timing.typical(config)
    busy = design_steps.busiest(config, data, 1)
    shape = network_shape(config, data, usual, 1)
    others = [space.sample(numpy_rng(seed)) for seed in range(20)]
    assert sum(space.cost(each, shape).macs > space.cost(busy, shape).macs for each in others) <= 2
    taken = iter([1.0, 1.5])
    step, factor = design_steps.rung_steps(config, data, compute, usual, lambda work: [work(0), next(taken)][1])
    assert (step, factor) == (1.25, 1.25)
    monkeypatch.setattr(timing, "rung_steps", lambda *_: (7.0, 3.0))
    monkeypatch.setattr(timing, "_judging", lambda *_: 2.0)
    monkeypatch.setattr(timing, "_timed", lambda work, least=1: [work(0), 1.0][1])
    found = costs(config, data, compute)
    assert (found.rung_step, found.network_step, found.rung_judging) == (7.0, 3.0, 6.0)


def test_a_timed_step_is_that_of_the_loop(data: DataSet) -> None:
    """Its images are augmented, and averaged weights are kept; a training of few steps is begun anew."""
    config = assemble(TINY, {"retrain": {"epochs": 1, "batch_size": 200}})
    compute, genotype = resolve(config.compute), timing.typical(config)
    shape = network_shape(config, data, genotype)
    body = compute.prepare(network_training.build(genotype, shape, config.retrain, 0))
    job = replace(network_training.job(genotype, body, config.retrain, data, compute, 0), ema=0.9)
    seen: list[Tensor] = []

    def loss(model: Any, x_NCHW: Tensor, labels: Tensor, step: int) -> Any:
        seen.append(x_NCHW)
        return job.loss(model, x_NCHW, labels, step)

    step = design_steps.loop_step(replace(job, loss=loss), compute)
    for number in range(4):
        step(number)
    per_epoch = job.steps_per_epoch()
    assert per_epoch < 4
    for number in range(4):
        assert torch.equal(seen[number], compute.place(job.inputs().batch(number % per_epoch)[0]))


def test_judging_at_rungs_counts(data: DataSet) -> None:
    config = assemble(TINY, {"search": {"finalists": 4, "halving": 2}})
    piece = replace(PIECE, rung_step=0.1, rung_processes=2)
    more = seconds(config, data, replace(piece, rung_judging=1.0), "search")["search"]
    designs = sum(rung.designs for rung in rungs(config, data, 4))
    assert designs >= 6
    assert more == pytest.approx(seconds(config, data, piece, "search")["search"] + designs / 2)


@pytest.mark.parametrize("budget", [30.0, 60.0, 200.0])
@pytest.mark.parametrize("finalists", [0, 4])
def test_trainings_fill_the_budget_and_keep_it(budget: float, finalists: int, data: DataSet) -> None:
    config = assemble(TINY, {"budget": budget, "search": {"finalists": finalists, "workers": 1}})
    fitted = within(config, data, PIECE, "report")
    assert 0.8 * budget < total(fitted, data) <= budget
    ratio = fitted.retrain.epochs / config.retrain.epochs
    assert fitted.supernet.epochs / config.supernet.epochs == pytest.approx(ratio, rel=0.3)


def test_a_budget_below_the_shortest_plan_says_what_is_enough(data: DataSet) -> None:
    with pytest.raises(BudgetError, match="allow at least") as error:
        within(assemble(TINY, {"budget": 3.0}), data, PIECE, "report")
    assert "budget=3 s" in str(error.value)


def test_nothing_is_longer_than_its_warm_up(data: DataSet) -> None:
    short = scaled(assemble(TINY, {"retrain": {"epochs": 20, "warmup_epochs": 10.0}}), 0.1)
    assert short.retrain.epochs == 3
    assert short.retrain.warmup_epochs < 1


def test_the_plan_counts_the_arithmetic_of_all_sizes_that_begin(data: DataSet) -> None:
    asked = {"network": {"channels": "fit"}, "search": {"finalists": 4, "max_params": 20_000}}
    config = assemble(asked, {"search": {"resolutions": [1.0, 2.0]}})
    genotype = timing.typical(config)
    shape = network_shape(config, data, genotype)
    assert timing.arithmetic(config, data, genotype, shape) == pytest.approx(2.5, rel=0.02)
    assert timing.arithmetic(assemble(asked), data, genotype, shape) == 1.0
    assert timing.arithmetic(assemble(asked, {"search": {"finalists": 0}}), data, genotype, shape) == 1.0


def test_pieces_are_timed_on_this_machine(data: DataSet) -> None:
    piece = costs(assemble(TINY), data, pipeline.resolve(assemble(TINY).compute))
    assert piece.supernet_step is not None
    assert piece.candidate is not None
    assert 0 < piece.image < piece.network_step < 5


def test_a_run_has_the_epochs_that_fit_and_its_settings_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lowland: Command
) -> None:
    monkeypatch.setattr(pipeline, "costs", lambda *_: PIECE)
    run = pipeline.run(assemble(TINY, {"budget": 30.0}), tmp_path / "run", last="supernet").path
    manifest: dict[str, Any] = json.loads((run / "manifest.json").read_text())
    assert manifest["plan"]["supernet"] > 2.0
    said = lowland("run", "--budget", "2 weeks", "--out", str(tmp_path / "other"))
    assert said.fault == "--budget '2 weeks' is not a time; write it like 90s, 20m or 1h30m"
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("text", "found"), [("90", 90), ("45s", 45), ("20m", 1200), ("1.5h", 5400), ("1h30m", 5400), ("2min", 120)]
)
def test_times_as_people_write_them(text: str, found: float) -> None:
    assert duration("--budget", text) == found


@pytest.mark.parametrize("text", ["", "0", "soon", "-3m", "1d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a time"):
        duration("--budget", text)


@pytest.mark.parametrize("name", ["darts", "darts-pt", "dropnas", "p-darts", "pc-darts", "shapley"])
def test_a_search_by_gradients_fills_the_budget(name: str, data: DataSet) -> None:
    """What is trained within the search is timed, too, and its warm-up stays below its epochs."""
    config = assemble(
        TINY, {"budget": 30.0, "supernet": {"batch_size": 32, "epochs": 20}, "search": {"searcher": name}}
    )
    compute = pipeline.resolve(config.compute)
    epoch = searchers.chosen(config.search).epoch_seconds(config, data, compute, lambda work: [work(0), 0.1][1])
    assert epoch is not None
    steps = len(data.train) // 32 + (len(data.search) // 32 if name == "dropnas" else 0)
    assert epoch > 0.09 * steps
    piece = replace(PIECE, supernet_step=None, candidate=None, search_epoch=1.0)
    fitted = within(config, data, piece, "search")
    assert fitted.supernet.epochs == 30
    options = fitted.search.options[name]
    assert options["warmup_epochs"] == round(1.5 * config.search.options[name]["warmup_epochs"])
    assert seconds(fitted, data, piece, "search") == {"search": pytest.approx(30.0)}
    searchers.chosen(scaled(config, 0.0).search).require(scaled(config, 0.0))


def test_what_candidates_are_tuned_for_is_in_the_plan(data: DataSet) -> None:
    config = assemble(TINY, {"finetune": {"epochs": 2}})
    piece = costs(config, data, pipeline.resolve(config.compute))
    assert piece.finetuning is not None
    assert piece.finetuning > 0
    more = seconds(config, data, replace(PIECE, finetuning=2.0), "search")["search"]
    assert more == pytest.approx(5 * seconds(config, data, PIECE, "search")["search"])


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_pieces_of_a_supernet_are_timed_on_one(epochs: int, data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    initial = supernet_training.initial

    def counted(*given: Any) -> Any:
        made.append(initial(*given))
        return made[-1]

    monkeypatch.setattr(supernet_training, "initial", counted)
    monkeypatch.setattr(timing, "PIECE_SECONDS", 0.0)
    config = assemble(TINY, {"finetune": {"epochs": epochs}})
    found = costs(config, data, resolve(config.compute))
    assert len(made) == 1
    assert found.supernet_step
    assert found.candidate
    assert (found.finetuning is None) == (epochs == 0)
