"""Stage five: the report, and the cards of the delivered networks."""

from __future__ import annotations

from lowland.delivery import network as delivery
from lowland.report import card, render
from lowland.report.facts import ReportFacts
from lowland.report.gather import gather
from lowland.store import inside
from lowland.store.artifacts import Exports, Trained, network_folder
from lowland.workflow.session import Session
from lowland.workflow.stages.evaluate import results_of

MOST_BYTES = 2**22
"""Largest card that is read."""


def write_report(session: Session) -> None:
    """Make report.html from what the run directory holds."""
    facts = gather(session.run)
    inside.write_text(session.run.path, "report.html", render(facts))
    if session.run.stage_done("train"):
        write_cards(session, facts)
    if session.run.stage_done("evaluate"):
        session.run.finish_stage("report", ["report.html"], {})


def write_cards(session: Session, facts: ReportFacts) -> None:
    """Make README.md in the folder of every delivered network, unless somebody has edited the one that is there.

    It is no result of a stage: its owner may change or delete it.
    """
    run = session.run
    exported = Exports.read(run)
    for rank in sorted(map(int, Trained.read(run).networks)):
        folder = network_folder(rank)
        if not delivery.facts(run.path / folder):
            continue  # damaged, which is told where it is loaded
        file = f"{folder}/{card.FILE}"
        if (run.path / file).exists():
            try:
                theirs = not card.untouched(inside.read(run.path, file, MOST_BYTES).decode())
            except UnicodeDecodeError:
                theirs = True
            if theirs:
                session.monitor.note(f"{run.path / file} was edited and stays; delete it to have it written anew")
                continue
        forms = exported.forms if exported is not None and rank == 1 else None
        inside.write_text(run.path, file, card.card(facts, rank, results_of(run, rank), forms))
