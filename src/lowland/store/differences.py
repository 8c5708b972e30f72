"""Two runs side by side: the settings that differ, and what came of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lowland.store.manifest import STAGES
from lowland.store.overview import delivered_network, figures
from lowland.store.run import Run

ABSENT = None
"""What one of the two does not hold, such as a setting of a measure that it does not name."""


def settings_that_differ(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare settings, or any nested mappings.

    Returns:
        For each dotted key whose value differs: `key`, and the values `a` and `b`, None where one has none.
    """
    one, other = dict(leaves(a)), dict(leaves(b))
    keys = dict.fromkeys([*one, *other])
    return [
        {"key": key, "a": one.get(key, ABSENT), "b": other.get(key, ABSENT)}
        for key in keys
        if one.get(key, ABSENT) != other.get(key, ABSENT)
    ]


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
    one, other = _results(a), _results(b)
    units = {name: unit for name, (unit, _) in {**one, **other}.items()}
    return [
        {
            "name": name,
            "unit": unit,
            "a": one[name][1] if name in one else None,
            "b": other[name][1] if name in other else None,
        }
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
