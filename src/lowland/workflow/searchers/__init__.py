"""Searchers: how networks are found, each from the data to a ranking."""

from lowland.workflow.searchers.searcher import Searcher, chosen, register

__all__ = ["Searcher", "chosen", "register"]
