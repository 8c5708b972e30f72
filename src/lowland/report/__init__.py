"""Report: how people see a run."""

from lowland.evaluation.section import Estimate
from lowland.report.facts import (
    Asked,
    Classification,
    Commands,
    Curve,
    Data,
    Epoch,
    Judged,
    Network,
    ReportFacts,
    Shift,
    ShiftGroup,
    Stage,
    Standing,
    Training,
)
from lowland.report.page import render, write
from lowland.report.search_facts import Fit, Iteration, Objective, Pareto, Point, ScoredCandidate, Search

__all__ = [
    "Asked",
    "Classification",
    "Commands",
    "Curve",
    "Data",
    "Epoch",
    "Estimate",
    "Fit",
    "Iteration",
    "Judged",
    "Network",
    "Objective",
    "Pareto",
    "Point",
    "ReportFacts",
    "ScoredCandidate",
    "Search",
    "Shift",
    "ShiftGroup",
    "Stage",
    "Standing",
    "Training",
    "render",
    "write",
]
