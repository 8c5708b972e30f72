"""Sections of the report, one module per subject: its values, and its part of the page in an .html file beside it.

The section of a suite is the module of the suite's name. A suite without one is shown by `generic`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from lowland.report.facts import Judged, ReportFacts


class SuiteSectionModule(Protocol):
    """What the section module of a suite holds."""

    def fill(self, facts: ReportFacts, judged: Judged) -> ReportFacts:
        """The facts with what the suite found."""

    def values(self, facts: ReportFacts) -> dict[str, Any]:
        """What its template needs beyond the facts; the names are its own."""


def of_suite(name: str) -> SuiteSectionModule:
    """The section module of a suite, or the one for suites that have none."""
    own = Path(__file__).with_name(f"{name}.py")
    return cast(SuiteSectionModule, import_module(f"{__name__}.{name if own.is_file() else 'generic'}"))
