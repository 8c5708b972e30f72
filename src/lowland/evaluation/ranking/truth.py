"""Ground truth: the accuracies that architectures of a space reach when each is trained on its own, from a CSV file.

The file is plain or gzipped UTF-8 text with one header line. Column `arch` holds architectures in any form that the
space's `parse` accepts; one or more further columns hold numbers, greater is better, such as `test_acc` and
`corrupt_mean` in percent. Where there is a column `isomorph`, rows of equal content compute the same function; else the
space's own key decides. All other columns are ignored.

Array names: N architectures.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowland.core.errors import DataError, GenotypeError
from lowland.core.files import sha256
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.evaluation.ranking.unpickle import begins_as_pickle
from lowland.spaces import Space

ARCH, ISOMORPH = "arch", "isomorph"
TRUTH_COLUMN, SHIFT_COLUMN = "test_acc", "corrupt_mean"
"""Columns read where no other is named: accuracy in distribution, and its mean over corruptions."""

META = "meta.pickle.pbz2"
"""The file by which the folder form of a NATS-Bench release is known."""

MOST_BYTES = 2**28
"""Of a truth file, unpacked; the 15,625 architectures of NAS-Bench-201 take a hundredth of it."""

_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a truth file says.

    Attributes:
        path: The file.
        digest: Its SHA-256.
        genotypes: The architectures, in the file's order, none twice.
        classes: For each, the name of its isomorphism class.
        columns: Name of a column → its values (N,), finite; accuracy in distribution first.
        skipped: Rows left out because a value is empty or NaN.
    """

    path: Path
    digest: str
    genotypes: tuple[Genotype, ...]
    classes: tuple[str, ...]
    columns: dict[str, NDArray[np.float64]]
    skipped: int

    def sample(self, number: int, seed: int) -> list[int]:
        """Draw random genotypes, one per isomorphism class (its first row).

        A smaller sample is the beginning of a larger one of the same seed.

        Returns:
            Places of `number` genotypes; of all classes where `number` is 0 or too many.
        """
        first: dict[str, int] = {}
        for place, name in enumerate(self.classes):
            first.setdefault(name, place)
        places = np.array(list(first.values()))
        order = numpy_rng(seed, "ranking sample").permutation(len(places))
        chosen: list[int] = places[order[: number or len(places)]].tolist()
        return chosen


def read_truth(path: Path, space: Space, *, column: str = TRUTH_COLUMN, shift_column: str | None = None) -> Truth:
    """Read a truth file.

    Args:
        path: The file, plain or gzipped.
        space: The search space its architectures belong to.
        column: The column of accuracies in distribution.
        shift_column: A further column, such as accuracy under corruption; None: `corrupt_mean` where there is one.

    Returns:
        Its genotypes, isomorphism classes and accuracies.

    Raises:
        DataError: the file or a column is missing, or a line is malformed; the message names the line.
    """
    header, rows = _table(path)
    if shift_column is None and SHIFT_COLUMN in header and column != SHIFT_COLUMN:
        shift_column = SHIFT_COLUMN
    wanted = [column] + ([shift_column] if shift_column is not None and shift_column != column else [])
    for name in (ARCH, *wanted):
        if name not in header:
            raise DataError(f"truth file {path} has no column {name!r}; its columns are {', '.join(header)}")
        if header.count(name) > 1:
            raise DataError(f"truth file {path} has column {name!r} more than once; rename all but one")
    lines: dict[Genotype, int] = {}
    classes: list[str] = []
    values: list[list[float]] = []
    skipped = 0
    for line, row in rows:
        where = f"line {line} of truth file {path}"
        if len(row) != len(header):
            raise DataError(f"{where} has {len(row)} fields, but the header names {len(header)}; mend the line")
        numbers = [_number(row[header.index(name)], f"column {name!r} in {where}") for name in wanted]
        text = row[header.index(ARCH)].strip()
        try:
            genotype = space.parse(text)
        except GenotypeError as error:
            raise DataError(f"{where} holds no architecture of space {space.name}: {error}") from error
        if genotype in lines:
            raise DataError(f"{where} repeats architecture {text} of line {lines[genotype]}; remove one of the two")
        if any(map(math.isnan, numbers)):
            skipped += 1
            continue
        lines[genotype] = line
        classes.append(row[header.index(ISOMORPH)].strip() if ISOMORPH in header else space.key(genotype))
        values.append(numbers)
    if not values:
        raise DataError(f"truth file {path} has no architecture with a value in {' and '.join(wanted)}; add some rows")
    table_NC = np.array(values, dtype=np.float64)
    return Truth(
        path=path,
        digest=sha256(path),
        genotypes=tuple(lines),
        classes=tuple(classes),
        columns={name: table_NC[:, place].copy() for place, name in enumerate(wanted)},
        skipped=skipped,
    )


def is_official(path: Path) -> bool:
    """Tell an official release of NAS-Bench-201 or NATS-Bench from other files, without reading it all.

    Returns:
        Whether the file or folder looks like one.

    Raises:
        OSError: it cannot be read.
    """
    return (path / META).is_file() if path.is_dir() else begins_as_pickle(path)


def _table(path: Path) -> tuple[Sequence[str], Iterator[tuple[int, list[str]]]]:
    """Header and numbered rows; blank lines are left out."""
    try:
        if is_official(path):
            raise DataError(
                f"truth file {path} looks like an official NAS-Bench-201 or NATS-Bench release; convert it first with "
                f"`lowland truth {path} --out truth.csv`, then give --truth truth.csv"
            )
        with path.open("rb") as stream:
            zipped = stream.read(2) == _GZIP
        with path.open("rb") as stream:
            content = (gzip.GzipFile(fileobj=stream) if zipped else stream).read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DataError(f"truth file {path} has more than {MOST_BYTES:,} bytes of text; give fewer rows")
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"truth file {path} does not exist; check the path") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:  # OSError: a folder, or damaged gzip
        raise DataError(f"truth file {path} cannot be read as UTF-8 text, plain or gzipped: {error}") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            yield from ((reader.line_num, row) for row in reader if row)
        except csv.Error as error:
            raise DataError(f"line {reader.line_num} of truth file {path} is not CSV: {error}") from error

    numbered = rows()
    _, header = next(numbered, (0, []))
    if not header:
        raise DataError(f"truth file {path} is empty; it needs a header line with {ARCH} and {TRUTH_COLUMN}")
    return [name.strip() for name in header], numbered


def _number(text: str, where: str) -> float:
    """The number in a field; NaN where it is empty."""
    try:
        value = float(text) if text.strip() else math.nan
    except ValueError as error:
        raise DataError(f"{where} is {text!r}, which is not a number; mend or empty it") from error
    if math.isinf(value):
        raise DataError(f"{where} is {text!r}, which is not finite; mend or empty it")
    return value
