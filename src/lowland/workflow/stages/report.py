"""Stage five: the report."""

from __future__ import annotations

from lowland.report import write
from lowland.report.gather import gather
from lowland.workflow.session import Session


def write_report(session: Session) -> None:
    """Make report.html from what the run directory holds."""
    write(gather(session.run), session.run.path / "report.html")
    if session.run.stage_done("evaluate"):
        session.run.finish_stage("report", ["report.html"], {})
