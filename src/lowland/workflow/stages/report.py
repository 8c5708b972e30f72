"""Stage five: the report."""

from __future__ import annotations

from lowland.report import render
from lowland.report.gather import gather
from lowland.store import inside
from lowland.workflow.session import Session


def write_report(session: Session) -> None:
    """Make report.html from what the run directory holds."""
    inside.write_text(session.run.path, "report.html", render(gather(session.run)))
    if session.run.stage_done("evaluate"):
        session.run.finish_stage("report", ["report.html"], {})
