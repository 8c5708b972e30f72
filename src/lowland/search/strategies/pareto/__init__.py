"""The pareto strategy: surrogate-assisted multi-objective search (FlatNAS)."""
