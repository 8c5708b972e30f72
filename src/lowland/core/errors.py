"""Errors a person can act on: every message says what, where, what was expected and what to do."""

from __future__ import annotations


class LowlandError(Exception):
    """Base of all errors caused by input, settings or the machine; the CLI prints its one sentence and exits with 2."""


class ConfigError(LowlandError):
    """A setting is unknown, malformed or out of range."""


class DataError(LowlandError):
    """A data set is missing, empty, unreadable or unfit for the task."""


class GenotypeError(LowlandError):
    """A genotype string is malformed or names an illegal architecture."""


class BudgetError(LowlandError):
    """No network of the space meets the size limits."""


class NotFiniteError(LowlandError, ArithmeticError, ValueError):
    """A loss, a curvature or a measure is NaN or infinite: a failure of the candidate or network it is of.

    A search or a rung notes it and goes on; elsewhere its sentence ends the command. It is a ValueError for those who
    measure networks of their own.
    """


class RunError(LowlandError):
    """A run directory is busy, damaged, of another version or cannot be written."""


class InterruptedRun(LowlandError):
    """The run was stopped by a signal at a safe point; `lowland resume` continues it."""


class LowlandWarning(UserWarning):
    """Something a person should know about, though the run goes on."""
