"""Tables in the terminal, fitted to its width without breaking a name or a figure in two."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

GAP = 2
"""Spaces between two columns."""

Row = Sequence[str]


def table(header: Row, rows: Sequence[Row], width: int, *, name: int = 0) -> list[Text]:
    """Set rows in aligned columns, each line at most `width` wide.

    Column `name` holds names of any length, left-aligned. A name too long for what the other columns leave has a line
    of its own above its figures. Where that leaves no room for the column, all names have one; where the figures still
    do not fit, each figure does. Only a name that is wider than `width` is left to the terminal.

    Args:
        header: Headings.
        rows: One cell for each heading.
        width: Width of the terminal in characters.
        name: Place of the names; those before it, such as a rank, stay on a name's line.

    Returns:
        The lines; headings stand first, or before each figure.
    """
    widths = [max(cell_len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    room = width - sum(widths) + widths[name] - GAP * (len(header) - 1)
    if room >= cell_len(header[name]):
        widths[name] = min(widths[name], room)
        lines = [_line(header, widths, name)]
        for row in rows:
            if cell_len(row[name]) <= room:
                lines.append(_line(row, widths, name))
            else:
                lines += [
                    _line(row[: name + 1], widths, name),
                    _line([""] * (name + 1) + [*row[name + 1 :]], widths, name),
                ]
        return _ruled(lines, 1)
    first, figures = widths[: name + 1], widths[name + 1 :]
    indent = sum(first[:-1]) + GAP * name or GAP
    if indent + sum(figures) + GAP * (len(figures) - 1) <= width:
        lines = []
        for row in (header, *rows):
            lines += [_line(row[: name + 1], first, name), " " * indent + _line(row[name + 1 :], figures)]
        return _ruled(lines, 2)
    lines = []
    for row in rows:
        lines.append(_line(row[: name + 1], first, name))
        lines += [
            f"{' ' * indent}{head}: {cell}" for head, cell in zip(header[name + 1 :], row[name + 1 :], strict=True)
        ]
    return _ruled(lines, 0)


def _line(cells: Row, widths: Sequence[int], left: int | None = None) -> str:
    """Cells in columns, right-aligned but for column `left`."""
    parts = []
    for place, (cell, width) in enumerate(zip(cells, widths, strict=False)):
        space = " " * (width - cell_len(cell))
        parts.append(cell + space if place == left else space + cell)
    return (" " * GAP).join(parts).rstrip()


def _ruled(lines: Sequence[str], heads: int) -> list[Text]:
    """Lines of which the first `heads` are headings, with a rule below them."""
    rule = [Text("─" * max(map(cell_len, lines)))] if heads else []
    return [*(Text(line, style="bold") for line in lines[:heads]), *rule, *map(Text, lines[heads:])]


def columns(header: Row, rows: Sequence[Row], width: int) -> list[Text]:
    """Set texts side by side, left-aligned; each row in lines of its own where one does not fit.

    Args:
        header: Headings.
        rows: One cell for each heading.
        width: Width of the terminal in characters.

    Returns:
        The lines, headings first; or for each row its first cell, and below it the others behind their headings.
    """
    widths = [max(cell_len(row[place]) for row in (header, *rows)) for place in range(len(header))]
    if sum(widths) + GAP * (len(widths) - 1) <= width:
        lines = []
        for row in (header, *rows):
            cells = [cell + " " * (wide - cell_len(cell)) for cell, wide in zip(row, widths, strict=True)]
            lines.append((" " * GAP).join(cells).rstrip())
        return _ruled(lines, 1)
    lines = []
    for row in rows:
        lines += [row[0], *(f"{' ' * GAP}{head}  {cell}" for head, cell in zip(header[1:], row[1:], strict=True))]
    return _ruled(lines, 0)


def listing(rows: Sequence[tuple[str, str, str]], width: int) -> list[Text]:
    """Names with what they are and where they come from: a line each where all fit, else with the origin below."""
    names, summaries = (max(cell_len(row[place]) for row in rows) for place in (0, 1))
    whole = names + summaries + max(cell_len(row[2]) for row in rows) + 2 * GAP <= width
    lines = []
    for name, summary, source in rows:
        label = name + " " * (names - cell_len(name) + GAP)
        if whole:
            space = " " * (summaries - cell_len(summary) + GAP)
            lines.append(Text.assemble((label, "bold"), summary, space, (source, "dim")))
            continue
        said = [(line, "") for line in wrapped(summary, width - len(label))]
        said += [(line, "dim") for line in wrapped(source, width - len(label))]
        for index, (line, style) in enumerate(said):
            lines.append(Text.assemble((" " * len(label) if index else label, "bold"), (line, style)))
    return lines


def wrapped(text: str, width: int) -> list[str]:
    """Text in lines of at most `width` characters, broken between words only."""
    return textwrap.wrap(text, max(width, 1), break_long_words=False, break_on_hyphens=False)
