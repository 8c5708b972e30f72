from __future__ import annotations

import dataclasses
import math
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lowland.core.errors import LowlandWarning, RunError
from lowland.core.genotype import Genotype
from lowland.search import Archive, Candidate

SCHEMA_1 = """
CREATE TABLE candidates (id INTEGER PRIMARY KEY, space TEXT NOT NULL, genes TEXT NOT NULL, key TEXT NOT NULL,
  generation INTEGER NOT NULL, origin TEXT NOT NULL, status TEXT NOT NULL CHECK (status IN ('scored', 'failed')),
  reason TEXT NOT NULL, measure TEXT NOT NULL, value REAL CHECK ((value IS NOT NULL) = (status = 'scored')),
  standard_error REAL, details TEXT NOT NULL, parameters INTEGER NOT NULL, macs INTEGER NOT NULL,
  seconds REAL NOT NULL, created TEXT NOT NULL, UNIQUE (measure, key));
INSERT INTO candidates VALUES (1, 'toy', '3,0,1', '0,3,1', 2, 'mutation', 'scored', '', 'flatness(sigmas=0.002)',
  -1.5, 0.25, '{"losses": [1.0, "inf"]}', 120, 4500, 0.75, '2025-11-22T10:00:00.000+00:00');
INSERT INTO candidates VALUES (2, 'toy', '0,0,0', '0,0,0', 0, 'random', 'failed', 'the measure gave nan',
  'flatness(sigmas=0.002)', NULL, NULL, '{}', 100, 4000, 0.5, '2025-11-22T10:00:01.000+00:00');
PRAGMA user_version = 1;
"""


def candidate(*genes: int, value: float | None = 0.0, **changes: object) -> Candidate:
    fields = {
        "genotype": Genotype("toy", genes),
        "key": ",".join(map(str, genes)),
        "measure": "m",
        "generation": 0,
        "origin": "random",
        "status": "scored" if value is not None else "failed",
        "value": value,
        "parameters": 10,
        "macs": 20,
    }
    return Candidate(**{**fields, **changes})  # type: ignore[arg-type]


def test_reads_an_archive_of_schema_1(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.sqlite") as connection:
        connection.executescript(SCHEMA_1)
    connection.close()
    with Archive(tmp_path / "a.sqlite") as archive:
        assert archive.get("flatness(sigmas=0.002)", "0,3,1") == Candidate(
            genotype=Genotype("toy", (3, 0, 1)),
            key="0,3,1",
            measure="flatness(sigmas=0.002)",
            generation=2,
            origin="mutation",
            status="scored",
            value=-1.5,
            standard_error=0.25,
            details={"losses": [1.0, "inf"]},
            parameters=120,
            macs=4500,
            seconds=0.75,
            created="2025-11-22T10:00:00.000+00:00",
        )
        assert [c.status for c in archive.candidates()] == ["scored", "failed"]
        archive.record(candidate(1, 1, 1))
        assert archive.count() == 3


def test_writes_schema_1(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        assert archive._connection.execute("PRAGMA synchronous").fetchone() == (2,), "FULL: durable once committed"
    with sqlite3.connect(":memory:") as golden, sqlite3.connect(tmp_path / "a.sqlite") as made:
        golden.executescript(SCHEMA_1)
        columns = [list(c.execute("PRAGMA table_info(candidates)")) for c in (golden, made)]
        assert columns[0] == columns[1]
        assert made.execute("PRAGMA user_version").fetchone() == (1,)
        assert made.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    genes=st.lists(st.integers(0, 9), min_size=1, max_size=6).map(tuple),
    value=st.floats(allow_nan=False, allow_infinity=False),
    details=st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False) | st.text(max_size=5) | st.none()),
)
def test_returns_exactly_what_it_recorded(tmp_path: Path, genes, value, details) -> None:
    path = tmp_path / "a.sqlite"
    path.unlink(missing_ok=True)
    with Archive(path) as archive:
        stored = archive.record(candidate(*genes, value=value, details=details))
        found = archive.get("m", stored.key)
    assert found == stored
    assert found.value == value
    assert found.genotype.genes == genes


def test_details_of_arrays_and_non_finite_numbers_are_kept_as_json(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        details = {"losses": np.array([1.0, math.inf]), "n": np.int64(3), "pair": (1, math.nan), "low": -math.inf}
        stored = archive.record(candidate(1, details=details))
        assert stored.details == {"losses": [1.0, "inf"], "n": 3, "pair": [1, "nan"], "low": "-inf"}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_failures(tmp_path: Path, value: float) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        stored = archive.record(candidate(1, value=value, standard_error=1.0))
        assert (stored.status, stored.value, stored.standard_error) == ("failed", None, None)
        assert str(value) in stored.reason
        assert archive.best("m", 5) == []
        assert archive.record(candidate(2, value=1.0, standard_error=math.nan)).standard_error is None


def test_ranks_by_value_then_size_then_genes_and_failed_never(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        for c in (
            candidate(9, value=None, reason="out of memory"),
            candidate(10, value=1.0),
            candidate(2, value=1.0),
            candidate(5, value=1.0, parameters=9),
            candidate(7, value=3.0),
            candidate(8, value=99.0, measure="other"),
        ):
            archive.record(c)
        assert [c.genotype.genes[0] for c in archive.candidates("m")] == [7, 5, 2, 10, 9]
        assert [c.genotype.genes[0] for c in archive.best("m", 3)] == [7, 5, 2]
        assert len(archive.best("m", 99)) == 4
        assert [c.genotype.genes[0] for c in archive.candidates(order="created")] == [9, 10, 2, 5, 7, 8]
        assert (archive.count("m"), archive.count("other"), archive.count()) == (5, 1, 6)


def test_a_key_is_recorded_once_per_measure(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        archive.record(candidate(1))
        with pytest.raises(RunError, match="recorded for this measure before"):
            archive.record(candidate(1, value=2.0))
        archive.record(candidate(1, measure="other"))
        assert archive.get("m", "1").value == 0.0


def test_forgets_failures_of_one_measure(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        archive.record(candidate(1, value=None))
        archive.record(candidate(2))
        archive.record(candidate(3, value=None, measure="other"))
        assert archive.forget_failed("m") == 1
        assert archive.count() == 2


def test_refuses_other_versions_files_and_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with Archive(path) as archive:
        for gene in range(200):
            archive.record(candidate(gene, details={"text": "x" * 200}))
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(RunError, match="schema version 7, but this lowland reads version 1"):
        Archive(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()

    content = bytearray(path.read_bytes())
    for page in range(2, 8):
        content[4096 * page : 4096 * page + 64] = b"\xa5" * 64
    (tmp_path / "torn.sqlite").write_bytes(content)
    (tmp_path / "cut.sqlite").write_bytes(path.read_bytes()[:6000])
    (tmp_path / "text.sqlite").write_text("not a database, but long enough to have a header" * 50)
    for name in ("torn", "cut", "text"):
        for read_only in (False, True):
            with pytest.raises(RunError, match=f"{name}.sqlite: it is damaged"):
                Archive(tmp_path / f"{name}.sqlite", read_only=read_only)

    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(RunError, match="not a lowland archive"):
        Archive(tmp_path / "other.sqlite")
    with pytest.raises(RunError, match="cannot be opened or written"):
        Archive(tmp_path / "no" / "folder.sqlite")


def test_reader_sees_the_writers_records_and_cannot_write(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with pytest.raises(RunError, match="no archive"):
        Archive(path, read_only=True)
    with Archive(path) as writer, Archive(path, read_only=True) as reader:
        writer.record(candidate(1))
        assert reader.count() == 1
        with pytest.raises(RunError, match="cannot be opened or written"):
            reader.record(candidate(2))
    with pytest.raises(RunError, match="closed"):
        writer.count()
    # The log is folded in: the file alone is complete.
    (tmp_path / "copy.sqlite").write_bytes(path.read_bytes())
    with Archive(tmp_path / "copy.sqlite", read_only=True) as copy:
        assert copy.count() == 1


def test_a_finished_archive_is_readable_where_nothing_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    with Archive(path) as archive:
        archive.record(candidate(1))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with Archive(path, read_only=True) as reader:
        assert reader.count() == 1
        assert [p.name for p in tmp_path.iterdir()] == ["a.sqlite"], "no log was made"


def test_an_archive_that_cannot_be_written_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Archive(tmp_path / "a.sqlite").close()
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **k: connect(f"{name}?mode=ro", **k))
    with pytest.raises(RunError, match="cannot be opened or written"):
        Archive(tmp_path / "a.sqlite")


def test_full_disk_is_one_sentence(tmp_path: Path) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        archive.record(candidate(0))
        archive._connection.execute("PRAGMA max_page_count = 4")
        with pytest.raises(RunError, match="disk is full; every recorded score is intact"):
            archive.record(candidate(1, details={"text": "x" * 100_000}))
        assert archive.count() == 1


def test_a_file_system_without_shared_memory_is_not_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    # `unix-none` has no shared memory, as some network file systems.
    monkeypatch.setattr(sqlite3, "connect", lambda name, **k: connect(f"{name}?vfs=unix-none", **k))
    with pytest.warns(LowlandWarning, match="rollback journal"):
        archive = Archive(tmp_path / "a.sqlite")
    archive.record(candidate(1))
    assert archive.count() == 1
    archive.close()


WRITER = """
import sys
from lowland.core.genotype import Genotype
from lowland.search import Archive, Candidate
archive = Archive(sys.argv[1])
start = archive.count()
for i in range(start, start + 100_000):
    archive.record(Candidate(genotype=Genotype("toy", (i,)), key=str(i), measure="m", generation=0, origin="random",
                             status="scored", value=float(i)))
    print(i, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_every_acknowledged_score_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    acknowledged = -1
    for round_ in range(5):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.011 * (round_ + 1))
        process.send_signal(signal.SIGKILL)
        lines = (first + process.stdout.read()).split("\n")[:-1]
        process.wait()
        assert int(lines[0]) >= acknowledged + 1
        acknowledged = int(lines[-1])
        with Archive(path, read_only=round_ % 2 == 0) as archive:
            found = [c.genotype.genes[0] for c in archive.candidates("m", order="created")]
        assert found == list(range(len(found)))
        assert len(found) >= acknowledged + 1
        acknowledged = len(found) - 1
    assert acknowledged > 20


def test_candidate_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        candidate(1).value = 2.0  # type: ignore[misc]


def test_the_best_are_found_by_an_index_with_ties_as_everywhere(tmp_path: Path) -> None:
    def candidate(place: int) -> Candidate:
        genes = (place % 13, place)
        value, parameters = float(place % 5), place % 3
        made = Candidate(genotype=Genotype("toy", genes), key=str(place), measure="m", generation=0, origin="random",
                         status="scored", value=value, parameters=parameters)  # fmt: skip
        return dataclasses.replace(made, status="failed", value=None, reason="bad") if place % 11 == 0 else made

    with Archive(tmp_path / "a.sqlite") as archive:
        for place in range(200):
            archive.record(candidate(place))
        ranked = [c for c in archive.candidates("m") if c.status == "scored"]
        for n in (0, 1, 2, 13, 50, len(ranked), 1000):
            assert archive.best("m", n) == ranked[:n]
        assert archive.best("another", 3) == []
    with Archive(tmp_path / "a.sqlite", read_only=True) as archive:
        plan = archive._connection.execute(
            "EXPLAIN QUERY PLAN SELECT value FROM candidates WHERE measure = 'm' AND status = 'scored' "
            "ORDER BY value DESC, parameters LIMIT 1"
        ).fetchall()
        assert "ranked" in plan[0][-1]
        assert len(plan) == 1, "nothing is sorted"
