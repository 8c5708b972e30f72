"""Strategies: which candidates a search proposes."""
