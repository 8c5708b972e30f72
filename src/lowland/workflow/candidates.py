"""The candidates of a finished search as a table: one row each, in the order of the search."""

from __future__ import annotations

import importlib
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lowland import spaces
from lowland.core.errors import RunError
from lowland.measures.combined import combination
from lowland.search import Archive, Candidate
from lowland.search.aggregation import aggregated
from lowland.search.strategies import strategy as strategies
from lowland.store.artifacts import Searched
from lowland.store.run import ARCHIVE, Run
from lowland.workflow import plugins

Rows = list[dict[str, Any]]


def archive(run: Any) -> Any:
    """Every candidate that a finished search evaluated.

    Columns: `rank` (place in the final order, from 1; None beyond the first 100 and for failed ones), `genotype`,
    `genes`, `value` (what the search ordered by, greater is better: the score, or under `measure.combine=rank` or
    `log-rank` the aggregate of the ranks among these candidates, which has no unit), `standard_error` (of a score),
    `measure_NAME` (score by each part of a sum, in its own unit), `parameters`, `macs` (of the delivered network),
    `generation`, `origin`, `status` (scored or failed), `reason`, `seconds`, `created`.

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


def _rows(run: Run) -> Rows:
    searched = Searched.read(run)
    places = {entry.genes: rank for rank, entry in enumerate(searched.ranking, start=1)}
    space = spaces.get(run.config.space)
    rows = []
    for each in _candidates(run, searched):
        parts = {
            f"measure_{label}": part["value"]
            for label, part in each.details.items()
            if isinstance(part, dict) and "weight" in part
        }
        rows.append(
            {
                "rank": places.get(tuple(each.genotype.genes)),
                "genotype": space.format(each.genotype),
                "genes": tuple(each.genotype.genes),
                "value": each.value,
                "standard_error": each.standard_error,
                **parts,
                "parameters": each.parameters,
                "macs": each.macs,
                "generation": each.generation,
                "origin": each.origin,
                "status": each.status,
                "reason": each.reason,
                "seconds": each.seconds,
                "created": each.created,
            }
        )
    return sorted(rows, key=lambda row: math.inf if row["rank"] is None else row["rank"])  # stable


def _candidates(run: Run, searched: Searched) -> list[Candidate]:
    """The candidates of this search, best first; the archive may hold those of earlier ones too."""
    if searched.measure is None:
        raise RunError(f"the searcher of {run.path} keeps no archive; search.json holds what it found")
    mine = {tuple(each["genes"]) for each in searched.candidates}
    with Archive(run.path / ARCHIVE, read_only=True) as opened:
        found = opened.candidates(searched.measure)
    scored = [each for each in found if each.status == "scored" and tuple(each.genotype.genes) in mine]
    combine = combination(strategies.chosen(run.config.search).measure(run.config.measure))
    ordered = scored if combine == "sum" else aggregated(scored, combine)
    return [*ordered, *(each for each in found if each.status == "failed")]
