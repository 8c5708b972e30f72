"""Search: how candidates are chosen, scored and kept.

Everything here is imported on first use: what only reads names or an archive needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Archive": "search.archive",
    "Candidate": "search.archive",
    "Evaluator": "search.scorer",
    "Limits": "search.limits",
    "LocalScorer": "execution.outcome",
    "Objective": "search.objectives",
    "Objectives": "search.objectives",
    "Proposal": "search.scorer",
    "Racing": "search.racing",
    "Reference": "search.strategies.pareto.front",
    "Scored": "execution.outcome",
    "Scorer": "execution.outcome",
    "ScoringFailure": "execution.outcome",
    "SearchProblem": "search.problem",
    "SearchResult": "search.strategies.state",
    "SearchSummary": "search.strategies.state",
    "Strategy": "search.strategies.strategy",
    "Workers": "execution.local",
    "hypervolume": "search.strategies.pareto.front",
    "parse_objectives": "search.objectives",
}

if TYPE_CHECKING:
    from lowland.execution.local import Workers
    from lowland.execution.outcome import LocalScorer, Scored, Scorer, ScoringFailure
    from lowland.search.archive import Archive, Candidate
    from lowland.search.limits import Limits
    from lowland.search.objectives import Objective, Objectives
    from lowland.search.objectives import parse as parse_objectives
    from lowland.search.problem import SearchProblem
    from lowland.search.racing import Racing
    from lowland.search.scorer import Evaluator, Proposal
    from lowland.search.strategies.pareto.front import Reference, hypervolume
    from lowland.search.strategies.state import SearchResult, SearchSummary
    from lowland.search.strategies.strategy import Strategy

__all__ = [
    "Archive",
    "Candidate",
    "Evaluator",
    "Limits",
    "LocalScorer",
    "Objective",
    "Objectives",
    "Proposal",
    "Racing",
    "Reference",
    "Scored",
    "Scorer",
    "ScoringFailure",
    "SearchProblem",
    "SearchResult",
    "SearchSummary",
    "Strategy",
    "Workers",
    "hypervolume",
    "parse_objectives",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowland.search' has no attribute {name!r}")
    own = "parse" if name == "parse_objectives" else name
    return getattr(import_module(f"lowland.{_HOMES[name]}"), own)
