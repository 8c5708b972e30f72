"""Sections of the report, one module per subject: its values, and its part of the page in an .html file beside it.

The section of a suite is the module of the suite's name. A suite without one is shown by `generic`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from lowland.report.facts import Judged, ReportFacts

GENERIC = "generic"
"""The module that shows suites without one of their own."""


class SuiteSectionModule(Protocol):
    """What the section module of a suite holds."""

    def fill(self, facts: ReportFacts, judged: Judged) -> ReportFacts:
        """The facts with what the suite found."""

    def values(self, facts: ReportFacts) -> dict[str, Any]:
        """What its template needs beyond the facts; the names are its own."""


def own(suite: str) -> SuiteSectionModule | None:
    """The section module of a suite; None where it has none."""
    if suite == GENERIC or not Path(__file__).with_name(f"{suite}.py").is_file():
        return None
    module = import_module(f"{__name__}.{suite}")
    return cast(SuiteSectionModule, module) if hasattr(module, "fill") else None  # or a section of another subject


def of_suite(suite: str) -> SuiteSectionModule:
    """The section module of a suite, or the one for suites that have none."""
    return own(suite) or cast(SuiteSectionModule, import_module(f"{__name__}.{GENERIC}"))
