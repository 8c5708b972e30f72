"""Settings that have a new place: said to who still writes the old one, and followed where an old run is read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

MOVED: Mapping[str, str] = {
    "measure.sigmas": "measure.options.flatness.sigmas",
    "measure.alpha": "measure.options.flatness.alpha",
    "measure.gamma": "measure.options.flatness.gamma",
    "measure.beta": "measure.options.flatness.beta",
    "measure.levels": "measure.options.flatness.levels",
    "measure.direction": "measure.options.flatness.direction",
    "measure.hessian_vectors": "measure.options.flatness.hessian_vectors",
    "measure.angle": "measure.options.angle.vector",
    "measure.angle_bn_scale": "measure.options.angle.bn_scale",
    "measure.robustness_sigma": "measure.options.robustness.sigma",
    "measure.robustness_draws": "measure.options.robustness.draws",
    "measure.flatnas_alpha": "measure.options.flatnas.alpha",
    "measure.flatnas_k": "measure.options.flatnas.k",
    "measure.perturbed_loss_sigma": "measure.options.perturbed_loss.sigma",
    "measure.perturbed_accuracy_sigma": "measure.options.perturbed_accuracy.sigma",
    "measure.filter_noise_sigma": "measure.options.filter_noise.sigma",
    "measure.adaptive_sharpness_sigma": "measure.options.adaptive_sharpness.sigma",
    "measure.hessian_trace_draws": "measure.options.hessian_trace.draws",
    "measure.training_speed_steps": "measure.options.training_speed.steps",
    "measure.training_speed_batch": "measure.options.training_speed.batch",
    "measure.training_speed_learning_rate": "measure.options.training_speed.learning_rate",
    "search.population": "search.options.evolution.population",
    "search.generations": "search.options.evolution.generations",
    "search.parents": "search.options.evolution.parents",
    "search.mutations": "search.options.evolution.mutations",
    "search.crossovers": "search.options.evolution.crossovers",
    "search.mutation_probability": "search.options.evolution.mutation_probability",
    "search.mutated_genes": "search.options.evolution.mutated_genes",
    "search.racing": "search.options.evolution.racing",
    "search.candidates": "search.options.random.candidates",
    "search.objectives": "search.options.pareto.objectives",
    "search.initial": "search.options.pareto.initial",
    "search.iterations": "search.options.pareto.iterations",
    "search.proposals": "search.options.pareto.proposals",
    "search.pick": "search.options.pareto.pick",
    "search.surrogate": "search.options.pareto.surrogate",
    "search.inner_population": "search.options.pareto.inner_population",
    "search.inner_generations": "search.options.pareto.inner_generations",
    "evaluate.corruptions": "evaluate.options.corruptions.names",
    "evaluate.corrupted": "evaluate.options.corruptions.folder",
    "evaluate.severities": "evaluate.options.corruptions.severities",
    "evaluate.corruption_images": "evaluate.options.corruptions.images",
    "evaluate.cache_corruptions": "evaluate.options.corruptions.cache",
    "evaluate.curve_sigmas": "evaluate.options.landscape.sigmas",
    "evaluate.curve_draws": "evaluate.options.landscape.draws",
    "evaluate.curve_images": "evaluate.options.landscape.images",
    "evaluate.random_genotypes": "evaluate.options.landscape.random_genotypes",
}
"""Dotted keys of run format 1 and what they are called since format 2; a key that is not here stayed where it was."""

ALSO: Mapping[str, str] = {
    "search.mutation_probability": "search.options.pareto.mutation_probability",
    "search.mutated_genes": "search.options.pareto.mutated_genes",
}
"""The second place of an old key that two members now have each for itself."""


def new_place(key: str) -> str | None:
    """Where the setting of the dotted old `key` stands now; None where it did not move."""
    return f"{MOVED[key]}, and {ALSO[key]}" if key in ALSO else MOVED.get(key)


def in_new_places(values: Mapping[str, Any]) -> dict[str, Any]:
    """Move every old key of nested settings to its new place; `values` is not changed.

    A new key that is there already stays as it is, since who wrote it knew the new place.

    Returns:
        The settings, a copy.
    """
    found: dict[str, Any] = copy.deepcopy(dict(values))
    for old, new in MOVED.items():
        *sections, last = old.split(".")
        holder: Any = found
        for name in sections:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and last in holder:
            value = holder.pop(last)
            for place in filter(None, (new, ALSO.get(old))):
                _place(found, place.split("."), copy.deepcopy(value))
    return found


def _place(values: dict[str, Any], path: list[str], value: Any) -> None:
    holder: Any = values
    for name in path[:-1]:
        holder = holder.setdefault(name, {})
        if not isinstance(holder, dict):
            return  # no section stands there, which is said where the settings are checked
    holder.setdefault(path[-1], value)
