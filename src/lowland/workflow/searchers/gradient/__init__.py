"""Searchers that learn an architecture by gradients, one file each."""
