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


def new_place(key: str) -> str | None:
    """Where the setting of the dotted old `key` stands now; None where it did not move."""
    return MOVED.get(key)


def in_new_places(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with every old key at its new place; `values` is not changed.

    A new key that is there already stays as it is, since who wrote it knew the new place.
    """
    found: dict[str, Any] = copy.deepcopy(dict(values))
    for old, new in MOVED.items():
        *sections, last = old.split(".")
        holder: Any = found
        for name in sections:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and last in holder:
            _place(found, new.split("."), holder.pop(last))
    return found


def _place(values: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values.setdefault(path[-1], value)
