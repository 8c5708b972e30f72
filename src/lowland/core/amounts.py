"""Amounts as people read them: times, counts, and figures with their standard errors."""

from __future__ import annotations


def clock(seconds: float | None) -> str:
    """Seconds as a person says them: `42 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def millions(count: int) -> str:
    """A count of parameters or MACs in millions, three significant digits."""
    return f"{count / 1e6:.3g} M"


def estimate(value: float | None, error: float | None, form: str, unit: str = "") -> str:
    """`value ± standard error unit`; a dash where there is no value."""
    if value is None:
        return "–"
    return form.format(value) + (f" ± {error:.2g}" if error is not None else "") + unit


def standing(place: int | None, of: int) -> str:
    """A place in an order, `1 of 100`; a dash where it is not known."""
    return "–" if place is None else f"{place:,} of {of:,}"


def measured(value: float, error: float | None, unit: str) -> str:
    """A figure of a suite with its standard error and unit; percent with two decimals, others with four digits."""
    return estimate(value, error, "{:.2f}" if unit == "%" else "{:.4g}", f" {unit}".rstrip())


def storage(size: int) -> str:
    """Bytes as people say them: `512 B`, `3.4 kB`, `1.2 GB`; powers of 1,000."""
    value, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        units.pop(0)
    return f"{value:.3g} {units[0]}"
