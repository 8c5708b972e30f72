"""Facts of several runs side by side, from their directories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from lowland.report.facts import ReportFacts
from lowland.report.gather import gather
from lowland.store.differences import results_of, settings_beside
from lowland.store.run import Run

Z95 = 1.959964
"""Half the width of a 95 % interval of a normal estimate, in standard errors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A result of one run.

    Attributes:
        value: The figure, or a text such as a genotype.
        standard_error: In its unit; None where it is exact or unknown.
        n: Images, or what else was sampled.
    """

    value: float | str
    standard_error: float | None = None
    n: int | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, by the normal approximation; None without a standard error."""
        if self.standard_error is None or isinstance(self.value, str):
            return None
        reach = Z95 * self.standard_error
        return self.value - reach, self.value + reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """A result and what every run has of it, in their order, None where one has none."""

    name: str
    unit: str
    runs: tuple[Found | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """Runs side by side.

    Attributes:
        names: Paths of the run directories as they were given.
        letters: What each is called on the page: A, B, …, Z, AA, ….
        facts: What the report of each shows.
        settings: Dotted keys of the settings that differ, and their value in every run.
        results: Results of the delivered networks, and times.
        same_images: Whether all learned from and were judged on the same images.
    """

    names: tuple[str, ...]
    letters: tuple[str, ...]
    facts: tuple[ReportFacts, ...]
    settings: tuple[tuple[str, tuple[Any, ...]], ...]
    results: tuple[Result, ...]
    same_images: bool


def beside(runs: Sequence[tuple[str, Run]]) -> Beside:
    """Gather what is known of runs, whatever stages are done.

    Args:
        runs: Each with the name that it was given by.

    Returns:
        The facts.

    Raises:
        RunError: a run is damaged.
    """
    opened = [run for _, run in runs]
    prints = {run.manifest.get("data", {}).get("fingerprint") for run in opened}
    return Beside(
        names=tuple(name for name, _ in runs),
        letters=tuple(map(letter, range(len(runs)))),
        facts=tuple(map(gather, opened)),
        settings=tuple(settings_beside(*(run.config.model_dump(mode="json") for run in opened))),
        results=tuple(
            Result(name=name, unit=unit, runs=tuple(map(_found, values))) for name, unit, values in results_of(*opened)
        ),
        same_images=len(prints) == 1,
    )


def letter(place: int) -> str:
    """A, B, …, Z, AA, AB, …, by place from 0."""
    before, last = divmod(place, len(ascii_uppercase))
    return (letter(before - 1) if before else "") + ascii_uppercase[last]


def _found(values: Mapping[str, Any] | None) -> Found | None:
    return None if values is None else Found(**values)
