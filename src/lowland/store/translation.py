"""Settings of earlier formats of the run directory, translated into those of today: names, and what had no name yet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from lowland.core.moved import MOVED, in_new_places

_CALL = re.compile(r"([A-Za-z_]\w*)\s*\(([^()]*)\)")
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
    return in_new_places(found)


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
