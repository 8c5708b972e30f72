"""Search: how candidates are chosen, scored and kept."""

from lowland.search.archive import Archive, Candidate
from lowland.search.front import Reference, hypervolume
from lowland.search.limits import Limits
from lowland.search.objectives import Objective, Objectives
from lowland.search.objectives import parse as parse_objectives
from lowland.search.racing import Racing
from lowland.search.scorer import Evaluator, LocalScorer, Proposal, Scored, Scorer, ScoringFailure
from lowland.search.strategies import SearchResult, SearchSummary, evolution, exhaustive, random, search
from lowland.search.workers import Workers

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
    "SearchResult",
    "SearchSummary",
    "Workers",
    "evolution",
    "exhaustive",
    "hypervolume",
    "parse_objectives",
    "random",
    "search",
]
