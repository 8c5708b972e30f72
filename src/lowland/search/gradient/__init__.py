"""Gradient search: architecture parameters of a relaxed supernet, learnt beside its weights."""
