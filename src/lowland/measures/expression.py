"""Measure expressions: `angle+flatness`, `flatness(alpha=0, sigmas=[1e-3, 2e-3])`, and lists of them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.moved import new_place
from lowland.core.options import own_settings
from lowland.core.registry import MEASURES
from lowland.core.settings import section

TOGETHER = ("name", "combine", "images", "batch_size", "calibration_images")
"""Settings of what all measures look at together, which one measure cannot have for itself."""

_TERM = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Term:
    """One measure of a sum: the measure's name, how the term is written, and the settings that hold for it."""

    name: str
    label: str
    config: MeasureConfig


def split(text: str, separator: str) -> list[str]:
    """Divide `text` at each `separator` outside parentheses and brackets.

    Returns:
        The parts, stripped.

    Raises:
        ConfigError: a bracket is not closed, or closed without being opened.
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            break
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise ConfigError(f"brackets in measure {text!r} do not match; write it like flatness(alpha=0)")
    return [part.strip() for part in parts]


def names(text: str) -> list[str]:
    """What the terms of an expression are called, not checked: `["angle", "flatness"]` of `angle+flatness(alpha=0)`."""
    return [part.partition("(")[0].strip() for part in split(text, "+")]


def combination(config: MeasureConfig) -> str:
    """How the parts of `config.name` are combined (`measure.combine`); `sum` where it has only one."""
    return config.combine if len(split(config.name, "+")) > 1 else "sum"


def terms(config: MeasureConfig, known: Mapping[str, str] | None = None) -> list[Term]:
    """Read the sum that `config.name` writes.

    In the parentheses of a measure stand its own settings, those of a measure that it uses, or shared ones that it
    declares (`Measure.needs`); they hold for this term alone: `robustness(sigma=0.1)`, `flatness(draws=4)`.

    Args:
        config: Settings; `name` holds the expression.
        known: Names that may stand in it, each with the measure whose settings it has; None: the measures there are.

    Returns:
        Its terms, in order.

    Raises:
        ConfigError: an unknown measure or setting, or a value out of range.
    """
    known = {name: name for name in MEASURES.names()} if known is None else known
    return [_term(text, config, known) for text in split(config.name, "+")]


def _term(text: str, config: MeasureConfig, known: Mapping[str, str]) -> Term:
    match = _TERM.fullmatch(text)
    if match is None or match[1] not in known:
        raise ConfigError(
            f"unknown measure {text if match is None else match[1]!r} in measure.name={config.name!r}; known measures: "
            f"{', '.join(sorted(known))}, and sums such as angle+flatness"
        )
    name, arguments = match[1], match[2]
    if not (arguments or "").strip():
        return Term(name, name, config.model_copy(update={"name": name}))
    own: dict[str, dict[str, object]] = {}
    shared: dict[str, object] = {}
    for argument in split(arguments, ","):
        key, equals, written = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} in measure {text!r} is not of the form setting=value, such as alpha=0")
        key = key.strip()
        owner = _owner(key, text, known[name])
        try:
            value = _number(yaml.safe_load(written))
        except yaml.YAMLError as error:
            raise ConfigError(f"the value of {key} in measure {text!r} is not valid YAML") from error
        (shared if owner is None else own.setdefault(owner, {}))[key] = value
    where = f"in measure {text!r}: "
    options = dict(config.options)
    for owner, changed in own.items():
        common = own_settings(MEASURES, owner, config.options, "measure.options")
        options[owner] = section(type(common), {**common.model_dump(), **changed}, where).model_dump(mode="json")
    values = {**config.model_dump(), **shared, "name": name, "options": options}
    # As a person would write it, so that one term has one label.
    label = f"{name}({', '.join(a.replace(' ', '') for a in split(arguments, ','))})"
    return Term(name, label, section(MeasureConfig, values, where))


def _owner(key: str, text: str, name: str) -> str | None:
    """The measure whose setting `key` is in the term `text` of measure `name`; None where it is a shared one."""
    measure = MEASURES.load(name)
    settings = {each: MEASURES.load(each).Config.model_fields for each in (name, *measure.uses)}
    owner = next((each for each, fields in settings.items() if key in fields), None)
    if owner is not None or (key in measure.needs and key not in TOGETHER):
        return owner
    allowed = [*(each for fields in settings.values() for each in fields), *sorted({*measure.needs} - {*TOGETHER})]
    # What settings were called before format 2 of the run directory.
    moved = (new_place(old) for old in (f"measure.{name}_{key}", f"measure.{key}"))
    known = [place.rpartition(".")[2] for place in moved if place is not None and place.split(".")[2] in settings]
    near = known or difflib.get_close_matches(key, allowed, n=1)
    if key in TOGETHER:
        remedy = "it is shared by all measures: use --set"
    elif near:
        remedy = f"did you mean {near[0]}?"
    else:
        remedy = f"it has {', '.join(allowed)}" if allowed else "it has none"
    raise ConfigError(f"measure {text!r} cannot have a setting {key!r} of its own; {remedy}")


def _number(value: object) -> object:
    """YAML reads 1e-3 as text where there is no decimal point; it is meant as a number."""
    if isinstance(value, list):
        return [_number(each) for each in value]
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
