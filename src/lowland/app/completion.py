"""What the shell completes of names: those of registries, presets, data sets, stages and settings; without torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, get_args

from lowland.core.registry import MEASURES, SPACES, STRATEGIES, SUITES, Registry

PRESETS = ("quick", "standard", "paper", "imagenet", "flatnas", "quick+compat", "standard+compat", "paper+compat")
RECIPES = ("quick", "cifar", "imagenet", "nasbench201")
LOGGERS = ("tensorboard", "mlflow", "wandb")

Completion = Callable[[str], list[str]]


def beginning(known: Iterable[str], incomplete: str) -> list[str]:
    """Those of the `known` names that begin as what was typed."""
    return [name for name in known if name.startswith(incomplete)]


def among(*names: str) -> Completion:
    """Completion of one of these names.

    Returns:
        What typer asks for the names that begin as what was typed.
    """
    return lambda incomplete: beginning(names, incomplete)


def members(registry: Registry[Any]) -> Completion:
    """Completion of a member's name; of a sum such as angle+flatness its last part.

    Returns:
        What typer asks for the names that begin as what was typed.
    """

    def completed(incomplete: str) -> list[str]:
        done, plus, last = incomplete.rpartition("+")
        return [f"{done}{plus}{name}" for name in beginning(registry.names(), last)]

    return completed


spaces, measures, strategies = members(SPACES), members(MEASURES), members(STRATEGIES)


def suites(incomplete: str) -> list[str]:
    """Names of suites, separated by commas."""
    done, comma, last = incomplete.rpartition(",")
    return [f"{done}{comma}{name}" for name in beginning(SUITES.names(), last)]


def data(incomplete: str) -> list[str]:
    """Data sets known by name; folders are the shell's to complete."""
    from lowland.data import catalogue

    return beginning((entry.name for entry in catalogue()), incomplete)


def sections(incomplete: str) -> list[str]:
    """Sections of settings, and settings."""
    keys = _keys()
    places = dict.fromkeys(key.rpartition(".")[0] for key in keys if "." in key)
    return beginning([*places, *keys], incomplete)


def assignments(incomplete: str) -> list[str]:
    """Settings with the `=` behind them."""
    return beginning((f"{key}=" for key in _keys()), incomplete)


def optimizers(incomplete: str) -> list[str]:
    """Optimisers."""
    from lowland.core.recipe import OptimizationConfig

    return beginning(get_args(OptimizationConfig.model_fields["optimizer"].annotation), incomplete)


def stages(incomplete: str) -> list[str]:
    """Stages of a run."""
    from lowland.store.run import STAGES

    return beginning(STAGES, incomplete)


def _keys() -> list[str]:
    """Every setting, those of built-in members as their source text has them."""
    from lowland.core.config import Config
    from lowland.core.settings import known_keys

    places = {"measure.options": (MEASURES,), "search.options": (STRATEGIES,), "evaluate.options": (SUITES,)}
    found = [key for key in known_keys(Config) if key not in places]
    for place, registries in places.items():
        for registry in registries:
            found += [f"{place}.{each.name}.{own.name}" for each in registry.built_in() for own in each.settings]
    return found
