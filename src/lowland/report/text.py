"""Text as people read it: no more digits than the standard error allows, SI sizes, plain durations, clean names."""

from __future__ import annotations

import math
import re

from lowland.core.text import TURNING

_UNFIT = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff{TURNING}]")
"""Control characters, surrogates, what is no character, and what turns or breaks what is written."""

HARD_SPACE = "\u00a0"
"""Keeps a number and its unit on one line."""

PLUS_MINUS = f"{HARD_SPACE}±{HARD_SPACE}"

EXACT_DIGITS = 4
"""Significant digits of a number that has no standard error."""


def clean(text: str) -> str:
    """Text in which characters that neither XML nor a reader can take are replaced by U+FFFD (line breaks, too).

    Among them are the marks that turn the direction of writing, so that a name reads as it is written.

    Returns:
        The text, as long as before.
    """
    return _UNFIT.sub("\ufffd", text)


def estimate(value: float | None, error: float | None, least: int = 0) -> str:
    """`86.43 ± 0.34`: the error with two significant digits, the value to the same decimals (at least `least`)."""
    if value is None:
        return "–"
    if not error:
        return f"{value:.{max(least, _decimals(value, EXACT_DIGITS))}f}"
    decimals = max(least, _decimals(error, 2))
    return f"{value:.{decimals}f}{PLUS_MINUS}{error:.{decimals}f}"


def number(value: float | None, decimals: int) -> str:
    """A fixed number of decimals; a dash where there is none."""
    return "–" if value is None else f"{value:.{decimals}f}"


def size(count: int | None) -> str:
    """`316 k`, `1.25 M`, `47.2 M`, `1.08e18`: three significant digits; a dash where there is none."""
    if count is None:
        return "–"
    if count >= 1e15:
        return f"{count:.3g}".replace("e+", "e")
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= 0.9995 * unit:
            return f"{_three(count / unit)}{HARD_SPACE}{name}"
    return str(count)


def grouped(count: int) -> str:
    """`15,625`; very large counts as `1.08e18`."""
    return f"{count:,}" if count < 1e12 else f"{count:.3g}".replace("e+", "e")


def duration(seconds: float) -> str:
    """`0.4 s`, `42 s`, `4 min 12 s`, `3 h 05 min`, `2 d 4 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def rough_duration(seconds: float) -> str:
    """`42 s`, `27 min`, `3.4 h`, `2.1 d`: two or three digits, to be read at a glance."""
    for unit, name, decimals in ((86400, "d", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.{decimals}f}{HARD_SPACE}{name}"
    return f"{seconds:.0f}{HARD_SPACE}s"


def _decimals(value: float, digits: int) -> int:
    """Decimals that show `digits` significant digits of `value`; never negative, at most 8."""
    if value == 0:
        return digits - 1
    return min(8, max(0, digits - 1 - math.floor(math.log10(abs(value)))))


def _three(value: float) -> str:
    """Three significant digits of a number from 0.9995 on."""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"
