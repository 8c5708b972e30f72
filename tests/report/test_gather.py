"""From a run directory of the pareto strategy to the facts and the page of its report."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowland.report import render
from lowland.report.gather import gather
from lowland.store.run import Run
from whole_runs import made

SEARCH = {
    "strategy": "pareto",
    "options": {
        "pareto": {
            "objectives": ["flatnas(alpha=0.5)", "params"],
            "initial": 8,
            "iterations": 2,
            "proposals": 3,
            "inner_population": 8,
            "inner_generations": 2,
            "surrogate": "cart",
        }
    },
}
MEASURE = {"options": {"robustness": {"sigma": 0.3, "draws": 2}}}


@pytest.mark.slow
def test_a_pareto_run_is_gathered_whole(tmp_path: Path) -> None:
    run = Run.open(made(tmp_path / "run", {"search": SEARCH, "measure": MEASURE}, last="search"), read_only=True)
    facts, told = gather(run), run.read_json("search.json")
    pareto, search = facts.pareto, facts.search
    assert pareto is not None
    assert search is not None
    assert [objective.kind for objective in pareto.objectives] == ["flatnas", "params"]
    assert len(pareto.points) == len(search.candidates) == told["summary"]["scored"]
    assert search.winner == pareto.pick
    assert search.noise == (0.3, 2)
    assert facts.asked.objectives == ("flatnas(alpha=0.5)", "params")
    assert facts.asked.measure == told["pareto"]["measure"]
    assert facts.networks[0].genotype == pareto.points[pareto.pick].candidate.genotype
    assert facts.networks[0].objectives == pareto.points[pareto.pick].objectives
    for point in pareto.points:
        error, robust = point.candidate.error, point.candidate.robustness
        assert error is not None
        assert robust is not None
        assert pareto.k is not None
        assert point.objectives[0].value == pytest.approx(0.5 * error.value + 0.5 * pareto.k * robust.value)
        assert point.objectives[1].value == point.candidate.parameters
    assert "Pareto front" in render(facts)
