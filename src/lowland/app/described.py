"""Every setting with its default, its value under the settings given, and what it means."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.core.registry import MEASURES, SEARCHERS, STRATEGIES, SUITES, Registry
from lowland.core.settings import known_keys

OWNERS: tuple[tuple[str, tuple[Registry[Any], ...]], ...] = (
    ("measure.options", (MEASURES,)),
    ("search.options", (SEARCHERS, STRATEGIES)),
    ("evaluate.options", (SUITES,)),
)
"""Where settings of single members stand, and in which registries the members are found."""


@dataclass(frozen=True, slots=True)
class Described:
    """One setting, values as JSON.

    Attributes:
        key: Dotted, as `--set` takes it.
        default: Where neither preset nor recipe says anything.
        value: Under the settings asked for; of a member that these do not name, its value if they did.
        description: What it means.
    """

    key: str
    default: Any
    value: Any
    description: str


def described(config: Config, within: str | None = None) -> list[Described]:
    """Every setting of a run, or those of a section.

    Args:
        config: The settings that decide the values.
        within: A section such as `retrain` or `measure.options.flatness`, or a single setting.

    Returns:
        The settings in their order; those of single measures, strategies, … behind those of their section.

    Raises:
        ConfigError: there is no such section or setting, with the nearest one.
    """
    found = list(_all(config))
    if within is None:
        return found
    chosen = [each for each in found if each.key == within or each.key.startswith(f"{within}.")]
    if not chosen:
        keys = [each.key for each in found]
        places = {key.rsplit(".", count)[0] for key in keys for count in range(3)} | {*keys}
        near = difflib.get_close_matches(within, sorted(places), n=1)
        meant = f"did you mean {near[0]}?" if near else f"sections are {', '.join(Config.model_fields)}"
        raise ConfigError(f"there is no section or setting {within!r}; {meant}")
    return chosen


def _all(config: Config) -> Iterator[Described]:
    defaults, values = Config().model_dump(mode="json"), config.model_dump(mode="json")
    members = dict(OWNERS)
    for section in Config.model_fields:
        for key in known_keys(Config):
            if key.partition(".")[0] != section or key in members:
                continue
            yield Described(key, _at(defaults, key), _at(values, key), _said(Config, key))
        for place, registries in members.items():
            if place.partition(".")[0] == section:
                for registry in registries:
                    yield from _of_members(registry, place, _at(values, place))


def _of_members(registry: Registry[Any], place: str, given: dict[str, Any]) -> Iterator[Described]:
    for name in registry.names():
        kind: type[BaseModel] = registry.load(name).Config
        defaults = kind.model_construct().model_dump(mode="json")
        for key, field in kind.model_fields.items():
            default = defaults[key]
            yield Described(
                f"{place}.{name}.{key}", default, given.get(name, {}).get(key, default), field.description or ""
            )


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def _said(kind: type[BaseModel], key: str) -> str:
    first, _, rest = key.partition(".")
    field = kind.model_fields[first]
    if not rest:
        return field.description or ""
    inner: Any = field.annotation
    return _said(inner, rest)
