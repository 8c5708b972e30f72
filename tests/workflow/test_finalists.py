"""Shortlist and finalists: the best of a search ordered anew, by a second measure or after a short training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lowland import measures
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.report.gather import gather
from lowland.store.run import Run
from lowland.training import network as network_training
from lowland.training.loop import fit
from lowland.workflow import finalists, measuring, pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.session import Session
from whole_runs import TINY, copied, made

FOUR: dict[str, Any] = {
    "search": {"finalists": 4, "finalist_epochs": 2, "workers": 1},
    "measure": {"name": "accuracy", "combine": "sum"},
}


def ranking(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "search.json").read_text())["ranking"]
    return found


@pytest.fixture(scope="module")
def supernet_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("supernet") / "run", last="supernet")


@pytest.fixture(scope="module")
def searched(supernet_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = copied(supernet_only, tmp_path_factory.mktemp("finalists") / "run")
    pipeline.resume(run, last="search", changes=[FOUR])
    return run


def test_the_best_are_ordered_by_their_accuracy_after_a_short_training(searched: Path) -> None:
    rows = ranking(searched)
    accuracies = [row["finalist"]["accuracy"] for row in rows[:4]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert all(row["finalist"] is None for row in rows[4:])
    values = [row["value"] for row in rows]
    assert min(values[:4]) >= max(values[4:])  # the same four as without finalists

    with Run.open(searched, read_only=True) as run:
        session = Session(run, Monitor())
        recipe = finalists.recipe(run.config)
        assert (recipe.epochs, recipe.include_search_split) == (2, False)
        best = Genotype("nasbench201", tuple(rows[0]["genes"]))
        body = network_training.build(best, session.network_shape(best), recipe, run.config.seed)
        body = session.compute.prepare(body)
        fit(network_training.job(best, body, recipe, session.data, session.compute, run.config.seed))
        split, data = session.data.search, session.data
        # In the precision of scoring: networks trained for moments lie close to ties.
        with torch.inference_mode(), session.compute.autocast():
            logits_NK = body.eval()(session.compute.place(data.normalise(split.images(torch.arange(len(split))))))
        right = float((logits_NK.argmax(1) == split.labels_N).double().mean())
    assert rows[0]["finalist"]["accuracy"] == pytest.approx(right, abs=1.5 / len(split))
    assert rows[0]["finalist"]["images"] == len(split)


def test_the_number_of_processes_changes_nothing(supernet_only: Path, searched: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    pipeline.resume(run, last="search", changes=[FOUR, {"search": {"workers": 2}}])
    assert ranking(run) == ranking(searched)


def test_a_stop_between_finalists_trains_none_of_them_again(
    supernet_only: Path, searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = copied(supernet_only, tmp_path / "run")
    trained: list[Genotype] = []
    train = measuring.trained

    def noted(session: Session, genotype: Genotype, recipe: Any) -> Any:
        trained.append(genotype)
        return train(session, genotype, recipe)

    class Stop(Monitor):
        @property
        def stopping(self) -> bool:  # type: ignore[override]
            return len(trained) == 2

    monkeypatch.setattr(measuring, "trained", noted)
    with pytest.raises(InterruptedRun):
        pipeline.resume(run, last="search", changes=[FOUR], monitor=Stop())
    assert len(trained) == 2
    pipeline.resume(run, last="search")
    assert len(trained) == len(set(trained)) == 4
    assert ranking(run) == ranking(searched)


def test_another_recipe_orders_the_finalists_anew(searched: Path, tmp_path: Path) -> None:
    run = copied(searched, tmp_path / "run")
    pipeline.resume(run, last="search", changes=[{"retrain": {"learning_rate": 0.01}}])
    again = ranking(run)
    assert [row["value"] for row in again[4:]] == [row["value"] for row in ranking(searched)[4:]]
    assert [row["finalist"] for row in again[:4]] != [row["finalist"] for row in ranking(searched)[:4]]


def test_the_report_tells_of_finalists(searched: Path, tmp_path: Path) -> None:
    run = copied(searched, tmp_path / "run")
    page = pipeline.report(run).read_text()
    assert "the best are trained for 2 epochs and ordered by their accuracy on search images" in page
    with Run.open(run, read_only=True) as opened:
        facts = gather(opened)
    assert facts.networks[0].finalist is not None
    assert f"{facts.networks[0].finalist.value:.0f}" in page


LISTED: dict[str, Any] = {
    "search": {"shortlist": 5, "shortlist_measure": "perturbed_accuracy(draws=2)", "workers": 1},
    "measure": {"name": "accuracy", "combine": "sum"},
}


@pytest.fixture(scope="module")
def listed(supernet_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = copied(supernet_only, tmp_path_factory.mktemp("shortlist") / "run")
    pipeline.resume(run, last="search", changes=[LISTED])
    return run


def test_the_shortlist_is_ordered_by_the_second_measure(listed: Path, searched: Path) -> None:
    rows = ranking(listed)
    values = [row["shortlist"]["value"] for row in rows[:5]]
    assert values == sorted(values, reverse=True)
    assert all(row["shortlist"] is None for row in rows[5:])
    plain = sorted((row["value"] for row in ranking(searched)), reverse=True)
    assert sorted((row["value"] for row in rows[:5]), reverse=True) == plain[:5]
    assert [row["value"] for row in rows[5:]] == plain[5:]
    with Run.open(listed, read_only=True) as run:
        session = Session(run, Monitor())
        measure = measures.get(finalists.shortlist_measure(run.config))
        found = measure.score(session.supernet, Genotype("nasbench201", tuple(rows[0]["genes"])), session.context)
    assert rows[0]["shortlist"] == {
        "measure": "perturbed_accuracy(draws=2)",
        "value": found.value,
        "standard_error": found.standard_error,
    }


def test_a_shortlist_by_ranks_of_a_sum(supernet_only: Path, tmp_path: Path) -> None:
    run = copied(supernet_only, tmp_path / "run")
    by_ranks = {"measure": {"name": "accuracy+loss", "combine": "rank"}, "search": {"shortlist_measure": "angle+macs"}}
    pipeline.resume(run, last="search", changes=[LISTED, by_ranks])
    values = [row["shortlist"]["value"] for row in ranking(run)[:5]]
    assert values == sorted(values, reverse=True)
    assert all(float(value).is_integer() or float(2 * value).is_integer() for value in values)  # sums of mid-ranks


def test_finalists_come_from_the_shortlist(listed: Path, tmp_path: Path) -> None:
    run = copied(listed, tmp_path / "run")
    pipeline.resume(run, last="search", changes=[{"search": {"finalists": 2, "finalist_epochs": 1}}])
    before, after = ranking(listed), ranking(run)
    assert {row["genotype"] for row in after[:2]} == {row["genotype"] for row in before[:2]}
    assert [row["genotype"] for row in after[2:]] == [row["genotype"] for row in before[2:]]
    page = pipeline.report(run).read_text()
    assert "the best 5 are ordered anew by <em>perturbed_accuracy(draws=2)</em>" in page
    assert '<th scope="col">Shortlist</th>' in page


def test_a_shortlist_measure_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="flatnes"):
        pipeline.check(assemble(TINY, {"search": {"shortlist": 3, "shortlist_measure": "flatnes"}}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shortlist": 1}, "2 or more"),
        ({"shortlist": 3, "strategy": "pareto"}, "shortlist out"),
        ({"finalists": 1}, "2 or more"),
        ({"finalists": 3, "strategy": "pareto"}, "another strategy than pareto"),
    ],
)
def test_senseless_finalists_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pipeline.check(assemble(TINY, {"search": change}))
