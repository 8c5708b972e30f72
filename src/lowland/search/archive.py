"""The archive: every evaluated candidate of a search in one SQLite file, the only truth about it."""

from __future__ import annotations

import dataclasses
import json
import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from lowland.core.errors import LowlandWarning, RunError
from lowland.core.files import explained, plain
from lowland.core.genotype import Genotype
from lowland.search import checksums, view
from lowland.store import database, inside

SCHEMA = 1
"""Version of the table below, kept in `PRAGMA user_version`; an archive of another version is refused."""

_TABLE = """
CREATE TABLE IF NOT EXISTS candidates (
    id INTEGER PRIMARY KEY,
    space TEXT NOT NULL,
    genes TEXT NOT NULL,
    key TEXT NOT NULL,
    generation INTEGER NOT NULL,
    origin TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('scored', 'failed')),
    reason TEXT NOT NULL,
    measure TEXT NOT NULL,
    value REAL CHECK ((value IS NOT NULL) = (status = 'scored')),
    standard_error REAL,
    details TEXT NOT NULL,
    parameters INTEGER NOT NULL,
    macs INTEGER NOT NULL,
    seconds REAL NOT NULL,
    created TEXT NOT NULL,
    UNIQUE (measure, key)
)
"""

_INDEX = "CREATE INDEX IF NOT EXISTS ranked ON candidates (measure, status, value DESC, parameters)"
"""Finds the best without reading all; older versions keep it up and do not need it."""

_COLUMNS = (
    "space, genes, key, generation, origin, status, reason, measure, value, standard_error, details, parameters, macs, "
    "seconds, created"
)

_DETAILS = _COLUMNS.split(", ").index("details")

_NOT_YET = "there is no archive {} yet: the search of this run has not begun; resume the run first"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One evaluated genotype.

    Attributes:
        genotype: The architecture.
        key: Its isomorphism key: equal for genotypes that compute the same function.
        measure: Full identity of the measure, settings included; scores compare only under equal identities.
        generation: Generation of the search that proposed it, from 0.
        origin: How it was proposed: `random`, `mutation`, `crossover`, `surrogate` or `exhaustive`.
        status: `scored`, or `failed` with a `reason` of one line. `raced` (never in an archive): scored on few images
            only, which ruled it out; `measure` is then that of the first look (`racing.Racing`).
        value: Score, greater is better; None where it failed.
        standard_error: Of the score, where it was estimated.
        details: What the measure noted besides, as JSON (NaN and infinities as the strings `nan`, `inf`, `-inf`).
        parameters: Scalar weights of the delivered network.
        macs: Its multiply-accumulates for one image.
        seconds: Time the scoring took.
        created: When it was recorded, UTC; set by the archive.
    """

    genotype: Genotype
    key: str
    measure: str
    generation: int
    origin: str
    status: Literal["scored", "failed", "raced"]
    reason: str = ""
    value: float | None = None
    standard_error: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    parameters: int = 0
    macs: int = 0
    seconds: float = 0.0
    created: str = ""

    @property
    def rank(self) -> tuple[bool, float, int, tuple[int, ...]]:
        """Sort key, best first: value, then fewer parameters, then genes; failed candidates come last."""
        value = -math.inf if self.value is None else self.value
        return self.status == "failed", -value, self.parameters, self.genotype.genes


class Archive:
    """The archive at `path`, made where there is none (unless `read_only`). Use it as a context manager or close it.

    A recorded candidate is durable (write-ahead log, `synchronous=FULL`) before `record` returns.

    Raises:
        RunError: The file is damaged, of another schema version or no archive, or it cannot be opened or written.
    """

    def __init__(self, path: Path | str, *, read_only: bool = False) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._checked = False
        # SQLite would follow a link out of the run, and writes its log beside the file.
        inside.require(self.path.parent, [f"{self.path.name}{suffix}" for suffix in database.SUFFIXES])
        if read_only and not self.path.is_file():
            raise RunError(_NOT_YET.format(self.path))
        with self._explained():
            self._connection = sqlite3.connect(
                database.uri(self.path, read_only=read_only), uri=True, timeout=30.0, isolation_level=None
            )
        try:
            with self._explained():
                self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        self._connection.execute("PRAGMA trusted_schema = OFF")
        made = self._connection.execute("SELECT name, type, sql FROM sqlite_master").fetchall()
        tables = {name for name, kind, _ in made if kind == "table"}
        others = [(name, kind, sql) for name, kind, sql in made if kind not in ("table", "index")]
        foreign = sorted(name for name, kind, sql in others if not (kind == "view" and view.own(sql)))
        if foreign:
            raise RunError(
                f"{self.path} is not a lowland archive: it holds a view or trigger {foreign[0][:40]!r}, which could do "
                f"anything; choose another file"
            )
        if version == 0 and not tables:
            if self.read_only:
                raise RunError(_NOT_YET.format(self.path))
            self._use_log()
            # One transaction: a stop within it leaves an empty file, which counts as no archive.
            self._connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLE}; {_INDEX}; {checksums.TABLE}; PRAGMA user_version = {SCHEMA}; COMMIT"
            )
            return
        if "candidates" not in tables:
            raise RunError(f"{self.path} is not a lowland archive: it holds no candidates; choose another file")
        if version != SCHEMA:
            raise RunError(
                f"archive {self.path} has schema version {version}, but this lowland reads version {SCHEMA}: use the "
                f"version of lowland that wrote it, or search again in another --out"
            )
        verdict = self._connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        self._checked = checksums.kept(self._connection)
        if verdict != "ok" and not (self._checked and checksums.of_rows(verdict)):
            raise sqlite3.DatabaseError(verdict)
        if not self.read_only:
            self._use_log()
            # SQLite opens what it may not write without a word, and would refuse the first score only.
            self._connection.execute("UPDATE candidates SET id = id WHERE 0")
            self._repair()
            self._connection.execute(_INDEX)  # archives of before had none

    def _repair(self) -> None:
        """Drop damaged rows, so that they are scored again, and make indexes that do not fit the rows anew."""
        wrong, rows = checksums.repair(self._connection)
        if self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
            self._connection.execute("REINDEX")
            verdict = self._connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        if wrong:
            warnings.warn(
                f"archive {self.path}: {wrong} of {rows} rows were damaged or lost and have been dropped; their "
                f"candidates are scored again when the search needs them",
                LowlandWarning,
                stacklevel=4,
            )

    def _use_log(self) -> None:
        mode = self._connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        self._connection.execute("PRAGMA synchronous = FULL")
        if mode != "wal":
            warnings.warn(
                f"the file system of {self.path} has no shared memory for a write-ahead log: using a rollback journal, "
                f"which is as safe, but makes readers wait for writers",
                LowlandWarning,
                stacklevel=4,
            )

    def close(self) -> None:
        """Fold the log into the file and close it; calling it again does nothing."""
        if not self.read_only:
            # A reader may still hold the log open, so that closing alone would not fold it in. Where that cannot be
            # done, nothing is lost: the log stays beside the file and is read with it.
            with suppress(sqlite3.Error):
                self._connection.execute("PRAGMA busy_timeout = 500")  # milliseconds: not worth more of a wait
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, candidate: Candidate) -> Candidate:
        """Store a candidate durably.

        A value that is NaN or infinite makes it a failed one; a standard error that is not finite becomes None.

        Returns:
            The candidate as stored.

        Raises:
            RunError: A candidate with this key was recorded for this measure before, or the disk refuses.
        """
        return self.record_all([candidate])[0]

    def record_all(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Store candidates durably, all or none, in one transaction; see `record`."""
        stored = []
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            with self._connection:
                for candidate in candidates:
                    try:
                        stored.append(self._insert(candidate))
                    except sqlite3.IntegrityError as error:
                        raise RunError(
                            f"archive {self.path} cannot take candidate {candidate.genotype} ({error}): its key was "
                            f"recorded for this measure before; look it up with Archive.get first"
                        ) from error
        return stored

    def _insert(self, candidate: Candidate) -> Candidate:
        """Within a transaction: the candidate as stored."""
        stored = dataclasses.replace(_finite(candidate), created=datetime.now(UTC).isoformat(timespec="milliseconds"))
        details = json.dumps(plain(stored.details), allow_nan=False)
        values = {"space": stored.genotype.space, "genes": ",".join(map(str, stored.genotype.genes))}
        row = [values[name] if name in values else getattr(stored, name) for name in _COLUMNS.split(", ")]
        row[_DETAILS] = details
        number = self._connection.execute(
            f"INSERT INTO candidates ({_COLUMNS}) VALUES ({', '.join('?' * len(row))})", row
        ).lastrowid
        checksums.seal(self._connection, "WHERE id = ?", [number])
        return dataclasses.replace(stored, details=json.loads(details))

    def get(self, measure: str, key: str) -> Candidate | None:
        """The candidate recorded for `measure` under isomorphism key `key`, or None."""
        found = self._select("WHERE measure = ? AND key = ?", measure, key)
        return found[0] if found else None

    def candidates(self, measure: str | None = None, order: Literal["value", "created"] = "value") -> list[Candidate]:
        """All candidates (of one measure, or of all): best first and failed last, or as they were recorded."""
        found = self._select("WHERE measure = ?", measure) if measure is not None else self._select("")
        return sorted(found, key=lambda candidate: candidate.rank) if order == "value" else found

    def best(self, measure: str, n: int) -> list[Candidate]:
        """The `n` best scored candidates; ties go to fewer parameters, then to smaller genes. Failed never rank."""
        if n < 1:
            return []
        ranked = "WHERE measure = ? AND status = 'scored'"
        with self._explained():
            # Genes are text, which SQL cannot order as numbers: all that tie with the last one are sorted here.
            last = self._connection.execute(
                f"SELECT value, parameters FROM candidates {ranked} ORDER BY value DESC, parameters LIMIT 1 OFFSET ?",
                (measure, n - 1),
            ).fetchone()
        if last is None:
            found = self._select(ranked, measure)
        else:
            above = f"{ranked} AND (value > ? OR (value = ? AND parameters <= ?))"
            found = self._select(above, measure, last[0], *last)
        return sorted(found, key=lambda candidate: candidate.rank)[:n]

    def count(self, measure: str | None = None) -> int:
        """Number of candidates recorded for a measure, or in all, failed ones included."""
        where, values = ("", ()) if measure is None else ("WHERE measure = ?", (measure,))
        with self._explained():
            return int(self._connection.execute(f"SELECT count(*) FROM candidates {where}", values).fetchone()[0])

    def measures(self) -> list[str]:
        """The identities of all measures that candidates were recorded for."""
        with self._explained():
            return [row[0] for row in self._connection.execute("SELECT DISTINCT measure FROM candidates ORDER BY id")]

    def rename(self, identities: Mapping[str, str]) -> None:
        """Record candidates under new identities of their measures (old → new), all or none.

        A candidate that is recorded under the new one already stays under the old one.
        """
        with self._explained(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE OR IGNORE candidates SET measure = ? WHERE measure = ?",
                [(new, old) for old, new in identities.items()],
            )
            for new in set(identities.values()):
                checksums.seal(self._connection, "WHERE measure = ?", [new])

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Within, the connection itself; what SQLite refuses is one sentence, a RunError."""
        with self._explained():
            yield self._connection

    def where(self, condition: str, *values: object) -> list[Candidate]:
        """The candidates for which a condition in SQL holds, as they were recorded."""
        return self._select(f"WHERE {condition}", *values)

    def forget_failed(self, measure: str) -> int:
        """Delete the failed candidates of a measure, so that they are scored again; returns how many there were."""
        with self._explained(), self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            forgotten = self._connection.execute(
                "DELETE FROM candidates WHERE measure = ? AND status = 'failed'", (measure,)
            ).rowcount
            self._connection.execute("DELETE FROM checksums WHERE id NOT IN (SELECT id FROM candidates)")
            return forgotten

    def _select(self, where: str, *values: object) -> list[Candidate]:
        with self._explained():
            if self.read_only and self._checked and checksums.damaged(self._connection, where, values):
                wrong = len(checksums.damaged(self._connection))
                raise RunError(
                    f"archive {self.path}: {wrong} of {self.count()} rows are damaged; put back a good copy, or resume "
                    f"its search, which drops them and scores these candidates again"
                )
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM candidates {where} ORDER BY id", values).fetchall()
        with self.sound_rows():
            return [_candidate(row) for row in rows]

    @contextmanager
    def sound_rows(self) -> Iterator[None]:
        """Within, what goes wrong in reading values of rows is one sentence, a RunError."""
        try:
            yield
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            raise RunError(
                f"archive {self.path}: a row of it is damaged; put back a good copy, or delete it and resume: "
                f"candidates are then scored again"
            ) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's refusals into one sentence with what to do."""
        try:
            with explained(self.path):
                yield
        except sqlite3.Error as error:
            name = getattr(error, "sqlite_errorname", "")
            if name.startswith("SQLITE_FULL"):
                advice = "the disk is full; every recorded score is intact: free some space and resume"
            elif name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_CANTOPEN")):
                advice = "it cannot be opened or written; check the folder and its permissions"
            elif name.startswith("SQLITE_BUSY"):
                advice = "another process is writing it; wait until it has finished, or stop it"
            elif isinstance(error, sqlite3.ProgrammingError):
                advice = "it is closed"
            elif name in ("SQLITE_IOERR_SHMMAP", "SQLITE_IOERR_NOMEM"):
                advice = (
                    "memory ran short; every recorded score is intact: free memory, or raise a limit on it (ulimit "
                    "-v), and resume"
                )
            elif name.startswith("SQLITE_IOERR"):
                advice = "the disk cannot be read or written; check it, and the space left on it"
            else:
                advice = (
                    "it is damaged; put back a good copy, or delete it and resume: candidates are then scored again"
                )
            raise RunError(f"archive {self.path}: {advice} (SQLite: {error})") from error


def _finite(candidate: Candidate) -> Candidate:
    error = candidate.standard_error
    if error is not None and not math.isfinite(error):
        candidate = dataclasses.replace(candidate, standard_error=None)
    if candidate.status == "scored" and (candidate.value is None or not math.isfinite(candidate.value)):
        reason = f"the measure gave {candidate.value}"
        return dataclasses.replace(candidate, status="failed", reason=reason, value=None, standard_error=None)
    return candidate


def _candidate(row: tuple[Any, ...]) -> Candidate:
    space, genes, *rest = row
    names = _COLUMNS.split(", ")[2:]
    values = dict(zip(names, rest, strict=True))
    values["details"] = json.loads(values["details"])
    return Candidate(genotype=Genotype(space, tuple(map(int, genes.split(",")))), **values)
