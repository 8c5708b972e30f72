"""The candidates of a finished search as a table: one row each, in the order of the search."""

from __future__ import annotations

import dataclasses
import importlib
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any

from lowland import spaces
from lowland.core.errors import RunError
from lowland.core.genotype import Genotype
from lowland.search import Archive, places
from lowland.search.aggregation import aggregated
from lowland.search.order import combined
from lowland.search.places import Place
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
        return places.kept(opened) or [place.columns() for place in _computed(run, searched, opened)]


def _computed(run: Run, searched: Searched, archive: Archive) -> list[Place]:
    """The places of a search whose archive was written before archives held them, without writing anything."""
    assert searched.measure is not None
    space = spaces.get(run.config.space)
    archived = {each.key: each for each in archive.candidates(searched.measure, order="created")}
    found = []
    for row in searched.candidates:
        genotype = Genotype(space.name, tuple(row["genes"]))
        facts = {name: row[name] for name in ("generation", "origin", "parameters", "macs")}
        found.append(dataclasses.replace(archived[space.key(genotype)], genotype=genotype, **facts))
    combine = combined(run.config, searched)
    ordered = sorted(found, key=attrgetter("rank")) if combine == "sum" else aggregated(found, combine)
    # search.json has the first of the final order. The rest of it follows the score, unless a front, or a longer
    # shortlist than was kept, made it.
    by_genes = {each.genotype.genes: each for each in ordered}
    first = {entry.genes: by_genes[entry.genes] for entry in searched.ranking}
    anew = max(run.config.search.shortlist, run.config.search.finalists)
    known = searched.pareto is None and anew <= len(first)
    rest = [each for each in ordered if each.genotype.genes not in first] if known else []
    failed = [each for each in archived.values() if each.status == "failed"]
    return places.finished(space, found, [*first.values(), *rest], failed)
