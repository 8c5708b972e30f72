"""Settings beside what they configure: `measure.options.<name>`, `search.options.<name>`, … as each member's `Config`.

The file of settings holds them as plain values. They are checked where the member is asked for, by which time its
module is imported; a run directory whose settings name a member of somebody's plugin can so be read without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lowland.core.errors import ConfigError
from lowland.core.registry import Registry
from lowland.core.settings import Options, Section, section


def own_settings(registry: Registry[Any], name: str, options: Options, path: str) -> Section:
    """Check the settings of the member `name`.

    Args:
        registry: Where the member is found.
        name: The member.
        options: Settings of members by name, not yet checked.
        path: Where the options stand, such as `measure.options`.

    Returns:
        Its `Config`, with defaults where `options` says nothing.

    Raises:
        ConfigError: no such member, an unknown setting of it, or a value that is wrong.
    """
    kind: type[Section] = registry.load(name).Config
    return section(kind, options.get(name, {}), prefix=f"{path}.{name}.")


def completed(registry: Registry[Any], names: Iterable[str], options: Options, path: str) -> Options:
    """Complete options as they are to be kept.

    Returns:
        Those of `names` complete with defaults, all others checked and complete too.

    Raises:
        ConfigError: options for a member that does not exist, or as `own_settings`.
    """
    for name in options:
        if name not in registry.names():
            raise ConfigError(f"setting {path}.{name}: {registry.unknown(name)}")
    wanted = sorted({*names, *options})
    return {name: own_settings(registry, name, options, path).model_dump(mode="json") for name in wanted}
