"""Stage five: the report, and the cards of the delivered networks."""

from __future__ import annotations

from lowland.core.monitor import Monitor
from lowland.delivery import description
from lowland.evaluation.recorded import results_of
from lowland.report import card, render
from lowland.report.facts import ReportFacts
from lowland.report.gather import gather
from lowland.store import inside
from lowland.store.artifacts import Exports, Trained, network_folder
from lowland.store.run import Run

MOST_BYTES = 2**22
"""Largest card that is read."""


def write_report(run: Run, monitor: Monitor) -> None:
    """Make report.html from what the run directory holds."""
    facts = gather(run)
    inside.write_text(run.path, "report.html", render(facts))
    if run.stage_done("train"):
        write_cards(run, monitor, facts)
    if run.stage_done("evaluate"):
        run.finish_stage("report", ["report.html"], {})


def write_cards(run: Run, monitor: Monitor, facts: ReportFacts) -> None:
    """Make README.md in the folder of every delivered network, unless somebody has edited the one that is there.

    It is no result of a stage: its owner may change or delete it.
    """
    exported = Exports.read(run)
    for rank in sorted(map(int, Trained.read(run).networks)):
        folder = network_folder(rank)
        if not description.facts(run.path / folder):
            continue  # damaged, which is told where it is loaded
        file = f"{folder}/{card.FILE}"
        if (run.path / file).exists():
            try:
                theirs = not card.untouched(inside.read(run.path, file, MOST_BYTES).decode())
            except UnicodeDecodeError:
                theirs = True
            if theirs:
                monitor.note(f"{run.path / file} was edited and stays; delete it to have it written anew")
                continue
        forms = exported.forms if exported is not None and rank == 1 else None
        inside.write_text(run.path, file, card.card(facts, rank, results_of(run, rank), forms))
