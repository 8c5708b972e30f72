"""Settings in general: sections of checked keys, how they are written, read and merged, and what is said of a fault."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeGuard, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lowland.core.errors import ConfigError
from lowland.core.moved import new_place

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0.0)]
Rate = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """A group of settings. Unknown keys are an error."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True, allow_inf_nan=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """A section that only changes a setting's default keeps what was said of it."""
        for name, field in cls.model_fields.items():
            if field.description is None:
                said = (base.model_fields[name].description for base in cls.__mro__[1:] if _has(base, name))
                field.description = next(said, None)

    def __hash__(self) -> int:
        """Equal settings hash alike, also where a value is a mapping."""
        return hash(self.model_dump_json())


def _has(base: type, name: str) -> TypeGuard[type[BaseModel]]:
    return issubclass(base, BaseModel) and name in base.model_fields


S = TypeVar("S", bound=Section)

Options = dict[str, dict[str, Any]]
"""Settings of members of a registry by their names, each as its own `Config` says (`core.options`)."""


MOST_VALUES = 10_000
"""Of settings, references written out; the complete settings of a run have a hundredth of it."""


class NoSettings(Section):
    """Of a member that has no settings of its own."""


def known_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Every setting as a dotted key, such as `search.max_params`."""
    keys: list[str] = []
    for name, entry in model.model_fields.items():
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, BaseModel):
            keys += known_keys(entry.annotation, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with the nested values of `over` written on top; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted key, down into the options of members; what holds none is left out."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def assignment(text: str) -> dict[str, Any]:
    """Read a `section.key=value` argument, its value as YAML.

    Returns:
        Nested settings.

    Raises:
        ConfigError: the argument has no key or no `=`, or its value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text!r} is not of the form section.key=value, such as retrain.epochs=30")
    try:
        return nested(key.strip(), _loaded(value))
    except RecursionError:
        raise ConfigError(f"--set {text[:80]!r}: the value is nested too deeply") from None
    except _Swollen as error:
        raise ConfigError(f"--set {text[:80]!r}: the value {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that cannot be
        raise ConfigError(f"--set {_short(text)}: the value is not valid YAML") from error


def nested(key: str, value: Any) -> dict[str, Any]:
    """`section.key` and a value as nested settings."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def count(option: str, text: str | int) -> int:
    """Read a number of parameters or MACs written by a person: `750k`, `1.0M`, `2G`, `1e6`.

    Returns:
        The number, rounded, at least 1.

    Raises:
        ConfigError: it is no number or less than 1; the sentence begins with `option`.
    """
    units = {"k": 1e3, "m": 1e6, "g": 1e9}
    stripped = str(text).strip().lower().replace("_", "")
    try:
        number = float(stripped[:-1]) * units[stripped[-1]] if stripped[-1:] in units else float(stripped)
        whole = round(number)
    except (ValueError, OverflowError, KeyError) as error:
        raise ConfigError(f"{option} {text!r} is not a count; write it like 750k, 1.0M or 2000000") from error
    if whole < 1:
        raise ConfigError(f"{option} {text!r} must be at least 1")
    return whole


def duration(option: str, text: str | float) -> float:
    """Read a time written by a person: `90`, `45s`, `20m`, `1.5h`, `1h30m`.

    Returns:
        Seconds, above 0.

    Raises:
        ConfigError: it is no time; the sentence begins with `option`.
    """
    found = re.fullmatch(r"(?:(\d+\.?\d*)h)?(?:(\d+\.?\d*)m(?:in)?)?(?:(\d+\.?\d*)s?)?", str(text).strip().lower())
    parts = (0.0, 0.0, 0.0) if found is None else tuple(float(part or 0) for part in found.groups())
    seconds = 3600 * parts[0] + 60 * parts[1] + parts[2]
    if not seconds:
        raise ConfigError(f"{option} {text!r} is not a time; write it like 90s, 20m or 1h30m")
    return seconds


def read(path: Path) -> dict[str, Any]:
    """Read the settings written in a YAML file.

    Returns:
        Nested settings, not yet checked.

    Raises:
        ConfigError: the file does not exist or cannot be read, or holds no settings in YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(f"settings file {path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {path} cannot be read as UTF-8 text: {error}") from error
    return parse(text, f"settings file {path}")


def parse(text: str, where: str) -> dict[str, Any]:
    """Read settings in YAML.

    Returns:
        Nested settings, not yet checked.

    Raises:
        ConfigError: the text is not YAML or no mapping; the sentence begins with `where` it stands.
    """
    try:
        content = _loaded(text)
    except RecursionError:
        raise ConfigError(f"{where} is nested too deeply") from None
    except _Swollen as error:
        raise ConfigError(f"{where} {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date or number that cannot be
        raise ConfigError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{where} must hold sections of `key: value` lines, not a {type(content).__name__}")
    return content


class _Swollen(Exception):
    """References in a YAML text make it endless, or much larger than settings are."""


def _loaded(text: str) -> Any:
    """The values of a YAML text, unless a few lines of it stand for millions."""
    value = yaml.safe_load(text)
    if "*" in text:
        _written_out(value, {}, set())
    return value


def _written_out(value: Any, sizes: dict[int, int], above: set[int]) -> int:
    """How many values stand in `value` once every reference is written out."""
    if not isinstance(value, dict | list):
        return 1
    if id(value) in above:
        raise _Swollen("refers to itself (*); write it out")
    if id(value) not in sizes:
        above.add(id(value))
        inner = value.values() if isinstance(value, dict) else value
        sizes[id(value)] = 1 + sum(_written_out(each, sizes, above) for each in inner)
        above.remove(id(value))
    if sizes[id(value)] > MOST_VALUES:
        raise _Swollen(f"has more than {MOST_VALUES:,} values once its references (*) are written out; leave them out")
    return sizes[id(value)]


def _short(value: Any) -> str:
    """A value as an error shows it: its beginning where it is long."""
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def section(kind: type[S], values: Mapping[str, Any], where: str = "", prefix: str = "") -> S:
    """Check a section of settings.

    Args:
        kind: The section.
        values: Its keys and values, not yet checked.
        where: What an error begins with.
        prefix: Where the section stands, such as `measure.options.flatness.`; errors name keys with it.

    Returns:
        The section.

    Raises:
        ConfigError: the fault found first, as one sentence with the key, the value and what is allowed.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(where + _sentence(error, kind, prefix)) from error


def _sentence(error: ValidationError, kind: type[BaseModel], prefix: str) -> str:
    faults = error.errors()
    first = faults[0]
    if first["type"] in ("extra_forbidden", "invalid_key"):
        key = ".".join(map(str, first["loc"]))
        if (place := new_place(prefix + key)) is not None:
            return f"setting {prefix}{key} is now {place}"
        return f"unknown setting {prefix + key!r}{_suggestion(key, kind, prefix)}"
    key = _key(first["loc"], kind)
    place = prefix + key if key else prefix.rstrip(".") or "settings"
    shown = "" if isinstance(first["input"], dict) else f"={_short(first['input'])}"
    if first["type"] == "model_type":
        return f"setting {place}{shown} must be a section of `key: value` lines"
    # Where a setting may be one of several kinds, each kind has its own fault.
    messages = dict.fromkeys(
        fault["msg"].removeprefix("Value error, ") for fault in faults if _key(fault["loc"], kind) == key
    )
    place = prefix.rstrip(".") if prefix and not first["loc"] else prefix + key  # a fault of several settings together
    return f"setting {place}{shown}: " + " or ".join(f"{message[0].lower()}{message[1:]}" for message in messages)


def _key(location: tuple[int | str, ...], kind: type[BaseModel]) -> str:
    """The dotted key a person wrote, empty for the whole: pydantic appends union branches and list positions to it."""
    names = {part for key in known_keys(kind) for part in key.split(".")}
    return ".".join(part for part in map(str, location) if part in names)


def _suggestion(key: str, kind: type[BaseModel], prefix: str) -> str:
    keys = known_keys(kind)
    candidates = [*keys, *kind.model_fields]
    near = difflib.get_close_matches(key, candidates, n=1, cutoff=0.6)
    kinds = "sections" if any("." in known for known in keys) else "settings"
    if not near:
        last = key.rsplit(".", 1)[-1]
        ends = {known.rsplit(".", 1)[-1]: known for known in reversed(keys)}
        near = [ends[match] for match in difflib.get_close_matches(last, ends, n=1, cutoff=0.6)]
    if near:
        return f"; did you mean {prefix + near[0]!r}?"
    return f"; {kinds} are {', '.join(kind.model_fields)}" if kind.model_fields else "; it has no settings"


def dump(config: Section) -> str:
    """The settings as YAML, complete, so that a run does not depend on later changes of presets."""
    values = config.model_dump(mode="json")
    # On one line each, however long a path is.
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)
    return text


class _Dumper(yaml.SafeDumper):
    """Writes text in double quotes where it holds line separators, which YAML otherwise reads back as spaces."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        style = '"' if any(mark in data for mark in "\x85\u2028\u2029") else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _Dumper.represent_str)
