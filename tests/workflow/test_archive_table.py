"""`lowland.archive` and the view `archive` of a run: the delivered network first, whatever ordered the search."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lowland
from golden.relocate import relocated
from lowland.core.monitor import Monitor
from lowland.store.run import ARCHIVE
from lowland.workflow import pipeline, reporting
from lowland.workflow.presets import assemble
from whole_runs import TINY, copied, made

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1"
SEVERAL = {"measure": {"name": "angle+macs+naswot", "combine": "log-rank"}}
LISTED = {"search": {"shortlist": 4, "shortlist_measure": "loss"}}
ANEW = {"search": LISTED["search"] | {"finalists": 3, "finalist_epochs": 1}}


SLOW = pytest.mark.slow


@pytest.fixture(autouse=True)
def rows_not_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lowland.workflow.candidates.find_spec", lambda name: None)


def view(run: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(run / ARCHIVE)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM archive")]


def without_view(run: Path) -> Path:
    """The run as it was when archives held no order."""
    with closing(sqlite3.connect(run / ARCHIVE)) as connection:
        connection.executescript("DROP VIEW archive; DROP TABLE places; VACUUM")
    searched = json.loads((run / "search.json").read_text())
    del searched["combine"]
    for entry in searched["ranking"]:
        del entry["place"]
    (run / "search.json").write_text(json.dumps(searched))
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"]["search.json"] = hashlib.sha256((run / "search.json").read_bytes()).hexdigest()
    del manifest["sha256"]  # which those of before had not
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


@pytest.mark.parametrize(
    "layers",
    [(), pytest.param(({"measure": {"name": "loss"}},), marks=SLOW), pytest.param((SEVERAL, LISTED), marks=SLOW)],
)
def test_sorted_by_rank_the_delivered_network_is_first(tmp_path: Path, layers: tuple[dict[str, Any], ...]) -> None:
    run = made(tmp_path / "run", *layers, last="search")
    rows, searched = lowland.archive(run), json.loads((run / "search.json").read_text())
    assert rows[0]["genotype"] == searched["ranking"][0]["genotype"]
    assert [row["rank"] for row in rows] == list(range(1, searched["summary"]["scored"] + 1))
    assert [row["genotype"] for row in rows] == [entry["genotype"] for entry in searched["ranking"]]
    assert [row["parameters"] for row in rows] == [entry["parameters"] for entry in searched["ranking"]]
    assert [row | {"genes": ",".join(map(str, row["genes"]))} for row in rows] == view(run)
    numbered = sorted(rows, key=lambda row: row["evaluated"])
    assert [list(row["genes"]) for row in numbered] == [each["genes"] for each in searched["candidates"]]
    old = without_view(copied(run, tmp_path / "old"))
    assert lowland.archive(old) == rows


class Told(Monitor):
    """Keeps what is told about the best so far."""

    def __init__(self) -> None:
        self.best: list[Any] = []

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.stage = stage

    def advance(self, done: int, **facts: Any) -> None:
        if self.stage == "search":
            self.best.append(facts.get("best"))


def test_a_search_by_ranks_tells_places_and_no_raw_sums(tmp_path: Path) -> None:
    told = Told()
    result = pipeline.run(assemble(TINY, SEVERAL), tmp_path / "run", monitor=told, last="search")
    # Ranks are known at the end of each generation of four.
    assert told.best == [None] * 4 + ["1 of 4"] * 4
    assert result.networks[0]["place"] == "1 of 8"
    assert "; place 1 of 8" in repr(result)
    assert "score" not in repr(result)
    page = reporting.report(tmp_path / "run").read_text()
    assert "place by the measure" in page
    assert "1<small> of 8</small>" in page
    assert "Score" not in page


@SLOW
def test_finalists_change_the_ranks_and_not_the_places_by_the_measure(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SEVERAL, ANEW, last="search")
    ranking = json.loads((run / "search.json").read_text())["ranking"]
    rows = lowland.archive(run)
    ours = [tuple(row["genes"]) for row in rows]
    assert sorted(row["rank"] for row in rows) == list(range(1, len(rows) + 1))
    final = dict.fromkeys(tuple(entry["genes"]) for entry in ranking)
    assert ours == [genes for genes in final if genes in set(ours)]
    by_value = sorted(rows, key=lambda row: -row["value"])
    places = {tuple(row["genes"]): place for place, row in enumerate(by_value, start=1)}
    for entry in ranking:
        if tuple(entry["genes"]) in places:
            assert entry["place"] == places[tuple(entry["genes"])]
    shaped = {tuple(entry["genes"]): entry for entry in reversed(ranking) if entry["shape"] is not None}
    assert shaped
    for row in rows:
        if row["genes"] in shaped:
            assert (row["parameters"], row["macs"]) == tuple(
                shaped[row["genes"]][key] for key in ("parameters", "macs")
            )


@SLOW
def test_another_search_has_an_order_of_its_own(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SEVERAL, last="search")
    before = view(run)
    median = sorted(row["parameters"] for row in before)[len(before) // 2]
    pipeline.resume(run, last="search", changes=[{"search": {"max_params": median}}])
    after = view(run)
    assert all(row["parameters"] <= median for row in after)
    assert [row["rank"] for row in after] == list(range(1, len(after) + 1))
    assert after[0]["genotype"] == json.loads((run / "search.json").read_text())["ranking"][0]["genotype"]


@pytest.mark.parametrize("name", ["evolution", "pareto", "racing"])
def test_archives_of_before_are_read_and_get_the_view_when_they_are_written(name: str, tmp_path: Path) -> None:
    run = relocated(GOLDEN / name, tmp_path / name)
    archived = (run / ARCHIVE).read_bytes()
    before, ranking = lowland.archive(run), json.loads((run / "search.json").read_text())["ranking"]
    assert [row["genotype"] for row in before[: len(ranking)]] == [entry["genotype"] for entry in ranking]
    assert (run / ARCHIVE).read_bytes() == archived
    pipeline.resume(run, last="search", restart="search")
    anew = json.loads((run / "search.json").read_text())["ranking"]
    evaluated = {row["genotype"] for row in view(run)}
    # Finalists may be written by hand, or the same genotype in two shapes.
    final = [text for text in dict.fromkeys(entry["genotype"] for entry in anew) if text in evaluated]
    assert [row["genotype"] for row in view(run)][: len(final)] == final
