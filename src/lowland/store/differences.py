"""Runs side by side: the settings that differ, and what came of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lowland.store.manifest import STAGES
from lowland.store.overview import delivered_network, figures
from lowland.store.run import Run

ABSENT = None
"""What one of them does not hold, such as a setting of a measure that it does not name."""


def settings_that_differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare settings, or any nested mappings.

    Returns:
        For each dotted key whose value differs: `key`, and the values `a` and `b`, None where one has none.
    """
    return [{"key": key, "a": one, "b": other} for key, (one, other) in settings_beside(a, b)]


def settings_beside(*runs: Mapping[str, Any]) -> list[tuple[str, tuple[Any, ...]]]:
    """Compare the settings of any number of runs.

    Returns:
        Each dotted key that is not the same in all, and its value in every run, None where one has none.
    """
    flat = [dict(leaves(values)) for values in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    rows = [(key, tuple(values.get(key, ABSENT) for values in flat)) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values[1:])]


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings with its dotted key."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        elif not isinstance(value, Mapping):
            yield prefix + name, value


def results_beside(a: Run, b: Run) -> list[dict[str, Any]]:
    """Results of the delivered networks, and what they took.

    Returns:
        For each result `name`, `unit` (empty where it has none), and `a` and `b`: mappings with `value`,
        `standard_error` and `n`, or None where a run has none.
    """
    return [{"name": name, "unit": unit, "a": one, "b": other} for name, unit, (one, other) in results_of(a, b)]


def results_of(*runs: Run) -> list[tuple[str, str, tuple[dict[str, Any] | None, ...]]]:
    """The same of any number of runs.

    Returns:
        Name and unit of each result, and what every run has of it, or None.
    """
    found = [_results(run) for run in runs]
    units = {name: unit for results in found for name, (unit, _) in results.items()}
    return [
        (name, unit, tuple(results[name][1] if name in results else None for results in found))
        for name, unit in units.items()
    ]


def _results(run: Run) -> dict[str, tuple[str, dict[str, Any]]]:
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    network = delivered_network(run)
    if network is not None:
        plain = {"genotype": network.genotype, "parameters": network.parameters, "MACs": network.macs}
        found |= {name: ("", _result(value)) for name, value in plain.items()}
        if network.value is not None:
            found["score"] = ("", _result(network.value, network.standard_error))
    for figure in figures(run):
        found[figure["label"]] = (
            figure["unit"],
            _result(figure["value"], figure.get("standard_error"), figure.get("n")),
        )
    for name in STAGES:
        stage = run.manifest["stages"].get(name, {})
        if stage.get("seconds"):
            found[f"{name} time"] = ("s", _result(stage["seconds"]))
    return found


def _result(value: Any, standard_error: float | None = None, n: int | None = None) -> dict[str, Any]:
    return {"value": value, "standard_error": standard_error, "n": n}
