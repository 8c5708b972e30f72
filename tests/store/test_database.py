"""An archive is what it holds: readers, indexes and the place of its rows make no difference."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lowland.core.config import Config
from lowland.core.errors import RunError
from lowland.core.genotype import Genotype
from lowland.search import Archive, Candidate
from lowland.store import database
from lowland.store.database import bytes_sha256, content_sha256, row_digest
from lowland.store.run import ARCHIVE, MANIFEST, Run


def record(archive: Archive, gene: int) -> None:
    archive.record(
        Candidate(
            genotype=Genotype("toy", (gene,)),
            key=str(gene),
            measure="m",
            generation=0,
            origin="random",
            status="scored",
            value=1.0,
        )
    )


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run.create(tmp_path / "run", Config()) as opened:
        opened.start_stage("search")
        yield opened


def test_a_reader_that_keeps_the_log_open_damages_nothing(run: Run) -> None:
    with Archive(run.path / ARCHIVE) as archive:
        record(archive, 1)
        reader = sqlite3.connect(run.path / ARCHIVE)
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM candidates").fetchall()
        record(archive, 2)
    assert (run.path / f"{ARCHIVE}-wal").stat().st_size > 0
    run.finish_stage("search", [ARCHIVE], {})
    assert run.verify() == []
    reader.close()  # folds the log into the file
    with closing(sqlite3.connect(run.path / ARCHIVE)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("VACUUM")
    assert run.verify() == []
    run.require_intact(ARCHIVE)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE candidates SET value = 2 WHERE id = 1",
        "DELETE FROM candidates WHERE id = 2",
        "UPDATE candidates SET details = CAST(details AS BLOB) WHERE id = 1",
        "CREATE TABLE more (x)",
        "CREATE VIRTUAL TABLE more USING fts5 (x)",
    ],
)
def test_another_content_is_seen(statement: str, run: Run) -> None:
    with Archive(run.path / ARCHIVE) as archive:
        record(archive, 1)
        record(archive, 2)
    run.finish_stage("search", [ARCHIVE], {})
    with closing(sqlite3.connect(run.path / ARCHIVE)) as connection, connection:
        connection.execute(statement)
    assert run.verify() == [ARCHIVE]


def test_rows_are_not_read_where_the_bytes_are_those_of_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with Archive(run.path / ARCHIVE) as archive:
        record(archive, 1)
    run.finish_stage("search", [ARCHIVE], {})

    def read(*_: object) -> str:
        raise AssertionError("every row is read")

    with monkeypatch.context() as patch:
        patch.setattr(database, "content_sha256", read)
        with Run.open(run.path, read_only=True) as opened:
            opened.require_intact(ARCHIVE)
            assert opened.verify() == []
        # A log beside it may hold other rows: then its bytes say nothing.
        (run.path / f"{ARCHIVE}-wal").write_bytes(b"anything")
        with pytest.raises(AssertionError, match="every row"):
            run.require_intact(ARCHIVE)
    (run.path / f"{ARCHIVE}-wal").unlink()
    content = (run.path / ARCHIVE).read_bytes()
    (run.path / ARCHIVE).write_bytes(content.replace(b"random", b"rondom"))
    with pytest.raises(RunError, match="damaged"):
        run.require_intact(ARCHIVE)


def test_rows_that_a_log_adds_to_known_bytes_are_seen(run: Run) -> None:
    with Archive(run.path / ARCHIVE) as archive:
        record(archive, 1)
    run.finish_stage("search", [ARCHIVE], {})
    known = run.manifest["archive"]
    writer = sqlite3.connect(run.path / ARCHIVE)
    with writer:
        writer.execute("UPDATE candidates SET value = 2")
    assert bytes_sha256(run.path, ARCHIVE) is None
    assert hashlib.sha256((run.path / ARCHIVE).read_bytes()).hexdigest() == known["bytes"]
    assert run.verify() == [ARCHIVE]
    writer.close()


def test_digests_of_files_in_older_manifests_hold(run: Run) -> None:
    with Archive(run.path / ARCHIVE) as archive:
        record(archive, 1)
    run.finish_stage("search", [ARCHIVE], {})
    manifest = json.loads((run.path / MANIFEST).read_text())
    del manifest["sha256"]  # which those of before had not
    del manifest["archive"]
    manifest["files"][ARCHIVE] = hashlib.sha256((run.path / ARCHIVE).read_bytes()).hexdigest()
    (run.path / MANIFEST).write_text(json.dumps(manifest))
    with Run.open(run.path, read_only=True) as opened:
        assert opened.verify() == []


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\0" + bytes(200)])
def test_what_is_no_database_has_no_content(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_bytes(content)
    expected = None if content else hashlib.sha256().hexdigest()
    assert content_sha256(tmp_path, "x.sqlite") == expected
    assert content_sha256(tmp_path, "missing.sqlite") is None


def test_kinds_of_values_are_told_apart() -> None:
    values = [1, 1.0, "1", b"1", None, "None", '{"blob":"31"}', "", b""]
    assert len({row_digest([value]) for value in values}) == len(values)
    assert row_digest(["a", "b"]) != row_digest(["a,b"])
