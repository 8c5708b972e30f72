"""The stages of a run, each in a module of its own; `table` says what decides each and what it leaves."""
