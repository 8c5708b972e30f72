"""Settings of earlier run directories, translated into those of today: names, and what had no name yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lowland.core.moved import MOVED, in_new_places

_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(([^()]*)\)")
_FOLLOWS = re.compile(r"\bdirection\s*=\s*['\"]?hessian\b")
_KEY = re.compile(r"(^|,)(\s*)([A-Za-z_]\w*)(?=\s*=)")


def from_format_1(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of format 1, which held those of every measure and strategy side by side, at today's places."""
    found = dict(values)
    if isinstance(found.get("data", {}), dict):
        found["data"] = {"fit": "crop"} | found.get("data", {})  # what was then done to every picture
    for name, key in (("measure", "name"), ("search", "shortlist_measure"), ("search", "objectives")):
        holder = found.get(name)
        if isinstance(holder, dict) and key in holder:
            found[name] = holder | {key: _expressions(holder[key])}
    return as_they_were(in_new_places(found))


def as_they_were(values: Mapping[str, Any]) -> dict[str, Any]:
    """Complete settings of a run from before `hessian_scale`, with what was then done as its value.

    A setting that came later is missing in stored settings, which are complete otherwise, and today's default may be
    another than what was done. Where flatness follows no Hessian direction it decides nothing and stays away.

    Returns:
        The settings, a copy where something was added.
    """
    measure = values.get("measure")
    options = measure.get("options", {}) if isinstance(measure, dict) else None
    flatness = options.get("flatness", {}) if isinstance(options, dict) else None
    if not isinstance(measure, dict) or not isinstance(options, dict) or not isinstance(flatness, dict):
        return dict(values)  # which is refused where the settings are checked
    written = f"{measure.get('name')} {values.get('search')}"  # the expressions in which it can be asked for
    follows = flatness.get("direction") == "hessian" or _FOLLOWS.search(written) is not None
    if not follows or "hessian_scale" in flatness:
        return dict(values)
    return {**values, "measure": measure | {"options": options | {"flatness": flatness | {"hessian_scale": "noise"}}}}


def _expressions(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_expressions(each) for each in value]
    return expression_from_format_1(value) if isinstance(value, str) else value


def expression_from_format_1(text: str) -> str:
    """A measure expression with its settings called as today: `angle(angle=cells)` becomes `angle(vector=cells)`."""

    def renamed(call: re.Match[str]) -> str:
        name, arguments = call[1], call[2]

        def key(found: re.Match[str]) -> str:
            # A setting called `<measure>_<key>` could be written `<key>` in the parentheses of that measure.
            full = f"measure.{name}_{found[3]}"
            place = MOVED.get(full if full in MOVED else f"measure.{found[3]}", found[3])
            return f"{found[1]}{found[2]}{place.rpartition('.')[2]}"

        return f"{name}({_KEY.sub(key, arguments)})"

    return _CALL.sub(renamed, text)
