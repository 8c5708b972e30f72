"""The shortlist: the best of a search ordered anew by a second measure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lowland import measures
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.store.run import Run
from lowland.workflow import pipeline, reporting
from lowland.workflow.presets import assemble
from lowland.workflow.session import Session
from lowland.workflow.shortlist import shortlist_measure
from whole_runs import TINY, copied


def ranking(run: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((run / "search.json").read_text())["ranking"]
    return found


@pytest.fixture(scope="module")
def searched(supernet_only: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = copied(supernet_only, tmp_path_factory.mktemp("searched") / "run")
    pipeline.resume(run, last="search", changes=[{"search": {"workers": 1}, "measure": LISTED["measure"]}])
    return run


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
        measure = measures.get(shortlist_measure(run.config))
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
    pipeline.resume(run, last="search", changes=[{"search": {"finalists": 2, "hand_written": False, "depths": []}}])
    before, after = ranking(listed), ranking(run)
    assert {row["genotype"] for row in after[:2]} == {row["genotype"] for row in before[:2]}
    assert [row["genotype"] for row in after[2:]] == [row["genotype"] for row in before[2:]]
    page = reporting.report(run).read_text()
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
    ],
)
def test_senseless_shortlists_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pipeline.check(assemble(TINY, {"search": change}))
