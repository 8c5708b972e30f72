"""From settings to results: the stages of a run, in order, and what a changed setting redoes."""
