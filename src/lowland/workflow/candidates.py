"""The candidates of a finished search as a table: one row each, in the order of the search."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lowland.core.errors import RunError
from lowland.search import Archive, places
from lowland.store.artifacts import Searched
from lowland.store.run import ARCHIVE, Run
from lowland.workflow import plugins


def archive(run: Any) -> Any:
    """Every candidate that a finished search evaluated, as the view `archive` of archive.sqlite has them.

    Columns: `rank` (place in the final order, from 1, the delivered network first; None for failed ones), `genotype`,
    `genes`, `value` (what the search ordered by, greater is better: the score, or under `measure.combine=rank` or
    `log-rank` the aggregate of the ranks among these candidates, which has no unit and is worth no more than `rank`),
    `standard_error` (of a score), `measure_NAME` (score by each part of a sum, in its own unit), `parameters`, `macs`
    (of the delivered network), `generation`, `origin`, `status` (scored or failed), `reason`, `seconds`, `created`,
    `evaluated` (number in order of evaluation, from 1; None for failed ones).

    Runs of before the view are read too, and stay as they are; of a Pareto front or a shortlist they know the first
    100 ranks only.

    Args:
        run: A run directory, or what `lowland.run` returned.

    Returns:
        A pandas DataFrame where pandas is installed, else a list of dicts; ranked ones first.

    Raises:
        RunError: it is no run directory, or its search is not finished.
    """
    path = Path(getattr(run, "path", run))
    with Run.open(path, read_only=True) as opened:
        plugins.require(opened)
        if not opened.stage_done("search"):
            raise RunError(f"the search of {path} is not finished; run `lowland resume {path}` first")
        rows = _rows(opened)
    return importlib.import_module("pandas").DataFrame(rows) if find_spec("pandas") is not None else rows


def _rows(run: Run) -> list[dict[str, Any]]:
    searched = Searched.read(run)
    if searched.measure is None:
        raise RunError(f"the searcher of {run.path} keeps no archive; search.json holds what it found")
    with Archive(run.path / ARCHIVE, read_only=True) as opened:
        return places.kept(opened) or [place.columns() for place in places.computed(run.config, searched, opened)]
