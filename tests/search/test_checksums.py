"""A damaged row of an archive is never taken for a score."""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from lowland.core.errors import LowlandWarning, RunError
from lowland.core.genotype import Genotype
from lowland.search import Archive, Candidate

ROWS = 60


def candidate(index: int, measure: str = '{"name": "flatness"}') -> Candidate:
    genes = (index % 5, index // 5, 3)
    return Candidate(
        genotype=Genotype("toy", genes),
        key=",".join(map(str, genes)),
        measure=measure,
        generation=index // 10,
        origin="mutation",
        status="scored" if index % 7 else "failed",
        reason="" if index % 7 else "the measure gave nan",
        value=1 / (index + 1) if index % 7 else None,
        standard_error=0.25,
        details={"losses": [index / 3, "inf"]},
        parameters=100 + index,
        macs=4000,
        seconds=0.5,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An archive of 60 rows of two measures."""
    with Archive(tmp_path / "a.sqlite") as archive:
        for index in range(ROWS):
            archive.record(candidate(index % 40, "m" if index < 40 else "n"))
    return tmp_path / "a.sqlite"


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rows(path: Path) -> list[Candidate]:
    with Archive(path) as archive:
        return archive.candidates(order="created")


CHANGES = {
    "value": "value = value + 1e-12",
    "identity": "measure = 'o'",
    "genes": "genes = '4,4,3'",
    "key": "key = '9'",
    "status": "status = 'failed', value = NULL",
    "kind of value": "details = CAST(details AS BLOB)",
    "no UTF-8": "origin = CAST(x'ff41' AS TEXT)",
    "created": "created = ''",
}


@pytest.mark.parametrize("changed", CHANGES)
def test_a_changed_row_is_dropped_with_a_sentence_and_the_others_stay(changed: str, path: Path) -> None:
    before = rows(path)
    change(path, f"UPDATE candidates SET {CHANGES[changed]} WHERE id = 3")
    with (
        pytest.raises(RunError, match=r"1 of 60 rows are damaged; put back a good copy, or resume"),
        Archive(path, read_only=True) as archive,
    ):
        archive.candidates()
    with pytest.warns(LowlandWarning, match=r"1 of 60 rows were damaged or lost and have been dropped"):
        assert rows(path) == before[:2] + before[3:]
    with Archive(path) as archive:  # and are said once
        archive.record(candidate(2, "m"))
        assert archive.count() == ROWS


def test_a_reader_takes_the_rows_that_are_intact(path: Path) -> None:
    change(path, "UPDATE candidates SET seconds = 9 WHERE measure = 'n' AND id = 50")
    with Archive(path, read_only=True) as archive:
        assert len(archive.candidates("m")) == 40
        with pytest.raises(RunError, match="1 of 60 rows"):
            archive.candidates("n")


def test_a_lost_row_and_one_without_checksum_are_scored_again(path: Path) -> None:
    change(path, "DELETE FROM candidates WHERE id = 60", "DELETE FROM checksums WHERE id = 2")
    with pytest.warns(LowlandWarning, match="2 of 60 rows"):
        rows(path)
    with Archive(path) as archive:
        assert archive.count() == ROWS - 2
        assert archive.get("m", candidate(1).key) is None
        archive.record(candidate(1, "m"))
    assert len(rows(path)) == ROWS - 1


def test_an_archive_without_checksums_is_taken_as_it_is_and_gets_them(path: Path) -> None:
    before = rows(path)
    change(path, "DROP TABLE checksums")
    with Archive(path, read_only=True) as archive:
        assert archive.candidates(order="created") == before
    assert rows(path) == before
    change(path, "UPDATE candidates SET value = 2 WHERE id = 2")
    with pytest.warns(LowlandWarning, match="1 of 60 rows"):
        assert rows(path) == before[:1] + before[2:]


def test_new_identities_and_forgotten_failures_keep_the_checksums_right(path: Path) -> None:
    with Archive(path) as archive:
        archive.rename({"m": "p", "n": "p"})
        forgotten = archive.forget_failed("p")
        assert forgotten == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(rows(path)) == ROWS - forgotten


def test_an_index_that_does_not_fit_the_rows_is_made_anew(path: Path) -> None:
    before = rows(path)
    content = path.read_bytes()
    place = content.rindex(b"m" + before[7].key.encode())  # in the index of keys, not in the row
    with path.open("r+b") as stream:
        stream.seek(place + 1)
        stream.write(b"7")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok"
    with Archive(path) as archive:
        assert archive.get("m", before[7].key) == before[7]


def mutants(content: bytes, generator: np.random.Generator) -> bytes:
    place, kind = int(generator.integers(len(content))), int(generator.integers(4))
    if kind < 2:
        return content[:place] + bytes([content[place] ^ (1 << int(generator.integers(8)))]) + content[place + 1 :]
    if kind == 2:
        return content[:place]
    return content[:place] + generator.bytes(16) + content[place + 16 :]


def outcome(path: Path, use: Callable[[Path], list[Candidate]]) -> list[Candidate] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LowlandWarning)
            return use(path)
    except RunError:
        return None


def test_no_damage_of_the_file_changes_a_row(path: Path, tmp_path: Path) -> None:
    before = {(each.measure, each.key): each for each in rows(path)}
    content, generator = path.read_bytes(), np.random.default_rng(0)
    refused = dropped = 0
    for number in range(150):
        copy = tmp_path / f"{number}.sqlite"
        copy.write_bytes(mutants(content, generator))
        if not copy.stat().st_size:
            continue  # as if there were none
        found = outcome(copy, rows)
        if found is None:
            refused += 1
            continue
        assert all(before[each.measure, each.key] == each for each in found)
        dropped += len(found) < len(before)
    assert refused > 10
    assert dropped > 3
