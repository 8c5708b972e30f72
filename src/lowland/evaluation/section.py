"""What a suite tells people: a few figures, and a report section described in plain values, so that any page shows it.

All of it goes through JSON, which keeps floats to the last bit; a reader needs neither torch nor the suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """An estimated number: `value`, its standard error in the same unit (None: exact or unknown), its sample size."""

    value: float
    standard_error: float | None = None
    n: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """One figure of one network, for the terminal and the tiles of the report.

    Attributes:
        label: What it is, in a word or two.
        value: The figure.
        unit: Its unit, such as `%`; empty where it has none.
        standard_error: In the same unit; None where it is exact or unknown.
        n: Sample size, such as the number of test images; None where nothing was sampled.
    """

    label: str
    value: float
    unit: str = ""
    standard_error: float | None = None
    n: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of estimates.

    Attributes:
        columns: Heads of all columns, the first being that of the rows' names; with their units.
        rows: Name of each row and its cells, one fewer than there are columns: an estimate, a text, or None.
        title: What stands above it, or empty.
        note: What stands below it, such as sample sizes, or empty.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Estimate | str | None, ...]], ...]
    title: str = ""
    note: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        rows = tuple((name, tuple(map(_cell, cells))) for name, cells in values["rows"])
        return cls(columns=tuple(values["columns"]), rows=rows, title=values["title"], note=values["note"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a plot: `y` at each `x`, and standard errors of `y` (None: there is none)."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    errors: tuple[float | None, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """A plot of lines over one axis; labels of axes name their units, `note` what a reader needs, or is empty."""

    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    note: str = ""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `asdict`, also after a round trip through JSON."""
        lines = tuple(
            Line(label=line["label"], x=tuple(line["x"]), y=tuple(line["y"]), errors=tuple(line["errors"]))
            for line in values["lines"]
        )
        return cls(x_label=values["x_label"], y_label=values["y_label"], lines=lines, note=values["note"])


@dataclass(frozen=True, kw_only=True, slots=True)
class SuiteSection:
    """A section of the report: a title, paragraphs, tables, and plots."""

    title: str
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    series: tuple[Series, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`, also after a round trip through JSON."""
        return cls(
            title=values["title"],
            paragraphs=tuple(values["paragraphs"]),
            tables=tuple(map(Table.from_json, values["tables"])),
            series=tuple(map(Series.from_json, values["series"])),
        )


def _cell(value: Any) -> Estimate | str | None:
    return Estimate(**value) if isinstance(value, Mapping) else value
