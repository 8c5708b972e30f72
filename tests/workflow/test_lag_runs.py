"""Whole searches without generations: worker processes change nothing, and status and report say so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lowland.app.display import status_lines
from lowland.report.gather import gather
from lowland.report.page import render
from lowland.search import Archive
from lowland.store.run import ARCHIVE, Run
from whole_runs import made


def rows(path: Path) -> list[Any]:
    with Archive(path / ARCHIVE, read_only=True) as archive:
        return [
            (each.genotype, each.measure, each.generation, each.origin, each.status, each.value, each.details)
            for each in archive.candidates(order="created")
        ]


@pytest.mark.slow
@pytest.mark.usefixtures("eager_workers")
def test_a_search_with_a_lag_has_one_archive_on_any_number_of_workers(tmp_path: Path) -> None:
    first, second = (
        made(tmp_path / str(workers), {"search": {"lag": 3, "workers": workers}}, last="search") for workers in (1, 2)
    )
    assert rows(first) == rows(second)
    assert {origin for _, _, _, origin, *_ in rows(first)} > {"random"}
    run = Run.open(second, read_only=True)
    (said,) = [line for line in status_lines(run.status()) if "generations" in line]
    assert said.startswith("search       done")
    assert said.endswith("no generations (search.lag=3)")
    assert "none: each candidate was chosen by the scores of all before it but the latest 3" in render(gather(run))
