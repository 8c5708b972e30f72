"""Rank correlation of measures with known accuracies, and the files these come from."""
