"""Output in narrow encodings such as cp1252 or ASCII: what has no code there is written in other words, never refused.

A run that has worked for hours must not end in a UnicodeEncodeError because the terminal, a pipe or a log file cannot
hold a `τ`. The same goes for bytes of a file's name that are not text.
"""

from __future__ import annotations

import codecs
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_WRITTEN_OUT = {
    "±": "+/-",
    "×": "x",
    "÷": "/",
    "·": "*",
    "⊙": "*",
    "−": "-",
    "–": "-",
    "—": "-",
    "‑": "-",
    "─": "-",
    "━": "-",
    "…": "...",
    "→": "->",
    "←": "<-",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "≈": "~",
    "∈": "in",
    "∞": "inf",
    "√": "sqrt",
    "α": "alpha",
    "β": "beta",
    "γ": "gamma",
    "δ": "delta",
    "ε": "epsilon",
    "θ": "theta",
    "κ": "kappa",
    "λ": "lambda",
    "μ": "mu",
    "π": "pi",
    "ρ": "rho",
    "σ": "sigma",
    "τ": "tau",
    "Δ": "Delta",
    "Θ": "Theta",
    "Σ": "sum",
    "Φ": "Phi",
    "∂": "d",
    "∇": "grad ",
    "§": "section ",
    "°": " deg",
    "′": "'",
    "½": "1/2",
    "‖": "||",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "„": '"',
    "\u00a0": " ",
    "\u2009": " ",
    "\u202f": " ",
    **dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True)),
    **dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)),
    "⁻": "-",
    "₋": "-",
    "₊": "+",
    "ₖ": "k",
    "ₙ": "n",
    "ᵢ": "i",
    "ⱼ": "j",
    "ᵀ": "T",
    "⌈": "ceil(",
    "⌉": ")",
    "⌊": "floor(",
    "⌋": ")",
    "⟨": "<",
    "⟩": ">",
}
"""What stands for a character where the output has no code for it; `?` stands for all others."""

_HANDLER = "lowland.written-out"


def _written_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_WRITTEN_OUT.get(character, "?") for character in lost), error.end


codecs.register_error(_HANDLER, _written_out)


def never_refuse() -> None:
    """Let the output and the error output of this process write out what their encodings lack."""
    for stream in _streams():
        stream.reconfigure(errors=_HANDLER)


@contextmanager
def written_out() -> Iterator[None]:
    """Within this, as after `never_refuse`; then as before, since the process belongs to somebody else."""
    before = [(stream, stream.errors) for stream in _streams()]
    never_refuse()
    try:
        yield
    finally:
        for stream, errors in before:
            stream.reconfigure(errors=errors)


def _streams() -> list[io.TextIOWrapper]:
    return [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)]
