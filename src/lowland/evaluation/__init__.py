"""Evaluation: how trained networks are judged, each suite in a module of its own (`suite` has the protocol)."""
