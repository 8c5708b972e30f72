"""Tiles: the few key figures at the top of the page."""

from __future__ import annotations

from dataclasses import dataclass

from lowland.report import text


@dataclass(frozen=True, slots=True)
class Tile:
    """One key figure: what it is, its value, its standard error with the unit, and a note below."""

    label: str
    value: str
    rest: str
    note: str

    @classmethod
    def of(cls, label: str, shown: str, unit: str, note: str) -> Tile:
        """Split `86.4 ± 0.5` or `316 k` at its first hard space, so that the first part can be set large."""
        value, _, rest = shown.partition(text.HARD_SPACE)
        return cls(label, value, f"{rest} {unit}".strip(), note)
