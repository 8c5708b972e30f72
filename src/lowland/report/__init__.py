"""Report: how people see a run."""

from lowland.report.facts import (
    Asked,
    Candidate,
    Classification,
    Commands,
    Curve,
    Data,
    Epoch,
    Estimate,
    Network,
    ReportFacts,
    Search,
    Shift,
    Stage,
    Training,
)
from lowland.report.page import render, write

__all__ = [
    "Asked",
    "Candidate",
    "Classification",
    "Commands",
    "Curve",
    "Data",
    "Epoch",
    "Estimate",
    "Network",
    "ReportFacts",
    "Search",
    "Shift",
    "Stage",
    "Training",
    "render",
    "write",
]
