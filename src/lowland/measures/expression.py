"""Measure expressions: `angle+flatness`, `flatness(alpha=0, sigmas=[1e-3, 2e-3])`, and lists of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.registry import MEASURES
from lowland.core.settings import section

SHARED = ("name", "combine", "images", "batch_size", "calibration_images")
"""Settings of what all measures look at together, which one measure cannot have for itself."""

_TERM = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\((.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Term:
    """One measure of a sum: the measure's name, how the term is written, and the settings that hold for it."""

    name: str
    label: str
    config: MeasureConfig


def split(text: str, separator: str) -> list[str]:
    """`text` divided at each `separator` outside parentheses and brackets; parts are stripped.

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


def terms(config: MeasureConfig, known: Sequence[str] | None = None) -> list[Term]:
    """The terms of the sum that `config.name` writes.

    In the parentheses of measure m stand settings of `MeasureConfig` that hold for this term alone. A setting called
    `m_key` may be written `key`: `robustness(sigma=0.1)` sets `robustness_sigma`.

    Args:
        config: Settings; `name` holds the expression.
        known: Names that may stand in it; None: the measures there are.

    Raises:
        ConfigError: an unknown measure or setting, or a value out of range.
    """
    names = MEASURES.names() if known is None else sorted(known)
    return [_term(text, config, names) for text in split(config.name, "+")]


def _term(text: str, config: MeasureConfig, known: list[str]) -> Term:
    match = _TERM.fullmatch(text)
    if match is None or match[1] not in known:
        raise ConfigError(
            f"unknown measure {text if match is None else match[1]!r} in measure.name={config.name!r}; known measures: "
            f"{', '.join(known)}, and sums such as angle+flatness"
        )
    name, arguments = match[1], match[2]
    if not (arguments or "").strip():
        return Term(name, name, config.model_copy(update={"name": name}))
    values: dict[str, object] = {}
    for argument in split(arguments, ","):
        key, equals, value = argument.partition("=")
        if not equals:
            raise ConfigError(f"{argument!r} in measure {text!r} is not of the form setting=value, such as alpha=0")
        key = key.strip()
        full = f"{name}_{key}" if f"{name}_{key}" in MeasureConfig.model_fields else key
        if full not in MeasureConfig.model_fields or full in SHARED:
            remedy = "it is shared by all measures: use --set" if full in SHARED else "`lowland measures` lists them"
            raise ConfigError(f"measure {text!r} cannot have a setting {key!r} of its own; {remedy}")
        try:
            values[full] = _number(yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise ConfigError(f"the value of {key} in measure {text!r} is not valid YAML") from error
    own = section(MeasureConfig, config.model_dump() | {"name": name} | values, f"in measure {text!r}: ")
    # As a person would write it, so that one term has one label.
    label = f"{name}({', '.join(a.replace(' ', '') for a in split(arguments, ','))})"
    return Term(name, label, own)


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
