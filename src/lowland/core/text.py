"""Text of strangers made harmless to show: nothing in it moves a cursor, colours a terminal or turns writing around."""

from __future__ import annotations

import re

TURNING = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
"""Separators of lines, and the marks of the direction of writing, as a class of a regular expression."""

_UNSEEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{TURNING}]")
"""Control characters but tab and line feed, and the others that turn or break what is written."""


def harmless(text: str) -> str:
    r"""Write out what would not be seen but do something, as `\x1b` or `\u202e`.

    >>> harmless("a\x1b[31mb\u202ec")
    'a\\x1b[31mb\\u202ec'

    Returns:
        The text; as it is where it holds nothing of the kind.
    """
    return _UNSEEN.sub(lambda found: _written(ord(found[0])), text)


def _written(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
