"""The view `archive` of archive.sqlite: whatever orders a search, sorting by rank puts its winner first."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lowland.core.errors import RunError
from lowland.core.genotype import Genotype
from lowland.search import Archive, Candidate, places, view
from lowland.search.aggregation import aggregated

SPACE: Any = SimpleNamespace(format=lambda genotype: "-".join(map(str, genotype.genes)))


def scored(number: int, macs: float, accuracy: float) -> Candidate:
    parts = {"macs": macs, "accuracy(draws=2)": accuracy, "it's": 1.0}
    return Candidate(
        genotype=Genotype("toy", (number, 12)),
        key=str(number),
        measure="m",
        generation=0,
        origin="random",
        status="scored",
        value=macs + accuracy,
        details={label: {"value": value, "weight": 1.0} for label, value in parts.items()} | {"images": 5},
        parameters=10 * number,
        macs=int(macs),
    )


CANDIDATES = [scored(1, 3e6, 0.1), scored(2, 2e6, 0.9), scored(3, 1e6, 0.5)]
FAILED = Candidate(
    genotype=Genotype("toy", (9, 9)), key="9", measure="m", generation=1, origin="mutation", status="failed", reason="x"
)


def filled(path: Path) -> list[Candidate]:
    """An archive of a search ordered by ranks; what it ordered."""
    with Archive(path) as archive:
        evaluated = [archive.record(each) for each in CANDIDATES]
        archive.record(FAILED)
        archive.record(scored(4, 9e6, 1.0))  # of an earlier search
        final = aggregated(evaluated, "rank")
        places.keep(archive, places.finished(SPACE, evaluated, final, archive.where("status = 'failed'")))
    return final


def asked(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def test_the_raw_sum_mis_sorts_and_the_view_does_not(tmp_path: Path) -> None:
    final = filled(tmp_path / "a.sqlite")
    raw = asked(tmp_path / "a.sqlite", "SELECT key FROM candidates WHERE status = 'scored' ORDER BY value DESC")
    assert [key for (key,) in raw] == ["4", "1", "2", "3"]
    view_rows = asked(tmp_path / "a.sqlite", "SELECT rank, genotype, genes, status, evaluated FROM archive")
    assert view_rows == [
        (1, "2-12", "2,12", "scored", 2),
        (2, "1-12", "1,12", "scored", 1),
        (3, "3-12", "3,12", "scored", 3),
        (None, "9-9", "9,9", "failed", None),
    ]
    values = asked(tmp_path / "a.sqlite", "SELECT value FROM archive WHERE rank IS NOT NULL ORDER BY value DESC")
    assert [value for (value,) in values] == [each.value for each in final] == [7.0, 6.0, 5.0]


def test_every_part_has_a_column(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite")
    query = """SELECT measure_macs, "measure_accuracy(draws=2)", "measure_it's" FROM archive ORDER BY rank NULLS LAST"""
    assert asked(tmp_path / "a.sqlite", query)[:2] == [(2e6, 0.9, 1.0), (3e6, 0.1, 1.0)]


def test_python_reads_what_sql_reads(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite")
    with Archive(tmp_path / "a.sqlite", read_only=True) as archive:
        rows = places.kept(archive)
        again = places.finished(
            SPACE,
            archive.candidates("m", "created")[:3],
            aggregated(CANDIDATES, "rank"),
            archive.where("status = 'failed'"),
        )
    computed = [place.columns() for place in again]
    assert [list(row) for row in rows[:3]] == [list(row) for row in computed[:3]]
    for row, other in zip(rows[:3], computed, strict=False):
        assert row | {"created": ""} == other | {"created": ""}
    assert rows[0]["genes"] == (2, 12)


def test_some_of_them_by_number(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite")
    with Archive(tmp_path / "a.sqlite", read_only=True) as archive:
        some = places.evaluated(archive, [3, 1])
    assert [(place.evaluated, place.rank, place.candidate.value) for place in some] == [(3, 3, 5.0), (1, 2, 6.0)]
    assert some[1].candidate.details["macs"]["value"] == 3e6


def test_places_that_are_damaged_are_one_sentence(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite")
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection, connection:
        connection.execute("UPDATE places SET genes = 'x' WHERE rank = 1")
    with Archive(tmp_path / "a.sqlite", read_only=True) as archive:
        for read in (places.kept, lambda opened: places.evaluated(opened, [2]), lambda o: places.evaluated(o, [7])):
            with pytest.raises(RunError, match="a row of it is damaged"):
                read(archive)


def test_the_next_search_empties_it_and_a_failed_write_leaves_it(tmp_path: Path) -> None:
    final = filled(tmp_path / "a.sqlite")
    with Archive(tmp_path / "a.sqlite") as archive:
        twice = places.finished(SPACE, [], [final[0], final[0]], [])
        with pytest.raises(RunError):
            places.keep(archive, twice)
        assert len(places.kept(archive)) == 4
        places.keep(archive, [])
        assert places.kept(archive) == []
        assert archive.count("m") == 5


def test_an_archive_of_before_opens_and_has_no_places(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        archive.record(CANDIDATES[0])
        assert not places.there(archive)
        assert places.kept(archive) == []


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW v AS SELECT 1",
        "CREATE VIEW archive AS SELECT 1",
        "CREATE VIEW archive AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT * FROM n",
        "CREATE TRIGGER archive AFTER UPDATE ON candidates BEGIN DELETE FROM candidates; END",
    ],
)
def test_no_other_view_is_trusted(tmp_path: Path, made: str) -> None:
    with Archive(tmp_path / "a.sqlite"):
        pass
    with closing(sqlite3.connect(tmp_path / "a.sqlite")) as connection:
        connection.execute(made)
    with pytest.raises(RunError, match="holds a view or trigger"):
        Archive(tmp_path / "a.sqlite", read_only=True)


def test_a_view_changed_by_one_word_is_not_ours(tmp_path: Path) -> None:
    filled(tmp_path / "a.sqlite")
    (made,) = asked(tmp_path / "a.sqlite", "SELECT sql FROM sqlite_master WHERE type = 'view'")[0]
    assert view.own(made)
    assert not view.own(made.replace("places.value,", "places.value, load_extension('x'),"))
    assert not view.own(made + " LIMIT 1")
    assert not view.own(None)
