"""Search: how candidates are chosen, scored and kept."""

from lowland.search.archive import Archive, Candidate
from lowland.search.limits import Limits
from lowland.search.scorer import Evaluator, LocalScorer, Scored, Scorer, ScoringFailure
from lowland.search.strategies import SearchResult, SearchSummary, evolution, exhaustive, random, search

__all__ = [
    "Archive",
    "Candidate",
    "Evaluator",
    "Limits",
    "LocalScorer",
    "Scored",
    "Scorer",
    "ScoringFailure",
    "SearchResult",
    "SearchSummary",
    "evolution",
    "exhaustive",
    "random",
    "search",
]
