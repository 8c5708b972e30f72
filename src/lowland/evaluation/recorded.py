"""The figures that suites left in a run directory, read without the suites, and so without torch."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lowland.core.registry import SUITES
from lowland.evaluation.section import Figure
from lowland.store.artifacts import SuiteRecord, evaluated
from lowland.store.run import Run


def figures_of(record: SuiteRecord) -> dict[str, list[Figure]]:
    """The figures that a suite's results hold, by rank of the network; the suite is asked where they hold none yet."""
    if record.figures is None:  # format 1, of a suite that comes with lowland
        of = SUITES.load(record.suite)
        asked = of(of.Config())
        return {rank: list(found) for rank, found in asked.figures(of.Results.from_json(record.results)).items()}
    return {rank: [Figure(**figure) for figure in found] for rank, found in record.figures.items()}


def results_of(run: Run, rank: int) -> dict[str, dict[str, Any]]:
    """The figures of all suites for the network of a rank, by label: value, unit, standard error and n."""
    return {
        figure.label: {name: value for name, value in asdict(figure).items() if name != "label"}
        for record in evaluated(run)
        for figure in figures_of(record).get(str(rank), ())
    }
