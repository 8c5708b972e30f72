"""Search: how candidates are chosen, scored and kept."""

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
