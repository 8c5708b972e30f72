"""Measures of a network before any training ("zero-cost"), on a network of the candidate's own."""
