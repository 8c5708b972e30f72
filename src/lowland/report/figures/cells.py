"""Cell drawings: a genotype's cell as a layered graph, left to right, in which no label is ever crossed.

Every node has a lane (row) and a column of its own, in topological order. The wire that leaves a node runs along its
lane; the operation of an edge i → j hangs below lane i in the gap before column j, a place no other edge has; from
there a curve drops to node j. Wires cross wires, but never a label.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from lowland.report.figures.svg import ACCENT, BLUE, GREY, INK, MUTED, ORANGE, PAPER, PURPLE, figure, inline, styled
from lowland.report.text import clean

if TYPE_CHECKING:
    from lowland.spaces.values import CellGraph

STRUCTURAL = ("", "concat", "output")
"""Edges that carry no searched operation; drawn as plain wires into one bar."""

KINDS = (("dil_conv", BLUE), ("conv", ACCENT), ("pool", ORANGE), ("skip", GREY))
"""Part of an operation's name → its colour; the first match counts."""

SUBSCRIPT = 0.8
"""Size of a subscript, relative to its base."""

FADED = 0.35
"""Opacity of edges that carry nothing."""

FONT, PILL, RADIUS, HANG, LANE, ROW = 10.0, 19.0, 13.0, 19.0, 55.0, 23.0
"""Font size, height of a label, node radius, drop of a label below its wire, lane height, extra per parallel edge."""

LEAD, TAIL, MARGIN = 20.0, 24.0, 8.0
"""Wire before a label, room for the curve after it, and the border; all in CSS pixels."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things stand, in pixels, y downwards: node centres, label boxes' left edges and middles, label width."""

    nodes: dict[str, tuple[float, float]]
    labels: tuple[tuple[float, float], ...]
    pill: float
    width: float
    height: float


def colour(operation: str) -> str:
    """The colour of an operation's kind."""
    return next((shade for part, shade in KINDS if part in operation), PURPLE)


def layout(graph: CellGraph) -> Layout:
    """Place every node and every labelled edge of a cell.

    Returns:
        Places in CSS pixels, labels in the order of `graph.edges`.

    Raises:
        ValueError: the graph has a cycle or an edge to a node it does not list.
    """
    order = _topological(graph)
    labelled = [edge for edge in graph.edges if edge[2] not in STRUCTURAL]
    pill = max((_width(operation) for _, _, operation in labelled), default=0.0) + 16
    node_width = max(map(_node_width, order))
    sources = _inputs(graph)

    x, columns = {}, 0.0
    for node in order:
        if node not in sources:
            fed = any(target == node for _, target, _ in labelled)
            columns += node_width + LEAD + (pill + TAIL if fed else TAIL)
        x[node] = MARGIN + node_width / 2 + columns

    parallel: dict[tuple[str, str], int] = {}
    row = []
    for source, target, _ in labelled:
        row.append(parallel.get((source, target), 0))
        parallel[source, target] = row[-1] + 1

    y, below = {}, MARGIN + RADIUS
    for node in order:
        y[node] = below
        below += LANE + ROW * (max((n for (source, _), n in parallel.items() if source == node), default=1) - 1)
    if _is_bar(graph, order[-1]):
        y[order[-1]] = sum(y[source] for source, target, _ in graph.edges if target == order[-1]) / sum(
            target == order[-1] for _, target, _ in graph.edges
        )
    labels = tuple(
        (x[target] - node_width / 2 - TAIL - pill, y[source] + HANG + ROW * place)
        for (source, target, _), place in zip(labelled, row, strict=True)
    )
    bottom = max([*(place + RADIUS for place in y.values()), *(middle + PILL / 2 for _, middle in labels)])
    return Layout(
        nodes={node: (x[node], y[node]) for node in order},
        labels=labels,
        pill=pill,
        width=max(x.values()) + node_width / 2 + MARGIN,
        height=bottom + MARGIN,
    )


def picture(graph: CellGraph, name: str) -> tuple[str, float]:
    """The cell as inline SVG, and its natural width in CSS pixels."""
    edges = "; ".join(
        f"{source} to {target}: {operation or 'concatenated'}" for source, target, operation in graph.edges
    )
    drawn = draw(graph)
    return inline(drawn, name, f"{graph.title}. {edges}."), 72 * drawn.get_figwidth()


def draw(graph: CellGraph) -> Figure:
    """The cell as a figure; one unit is one CSS pixel."""
    with styled():
        places = layout(graph)
        drawn = figure(places.width, places.height)
        drawn.set_layout_engine("none")
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_xlim(0, places.width)
        axes.set_ylim(places.height, 0)
        axes.axis("off")
        labelled = [edge for edge in graph.edges if edge[2] not in STRUCTURAL]
        wired = [edge for edge in graph.edges if edge[2] in STRUCTURAL]
        _wires(axes, places, labelled, wired)
        live = alive(graph)
        for place, edge in zip(places.labels, labelled, strict=True):
            arrivals = sorted(
                (other for other, (_, target, _) in zip(places.labels, labelled, strict=True) if target == edge[1]),
                key=lambda other: other[1],
            )
            _operation(axes, places, edge, place, arrivals, 1.0 if edge in live else FADED)
        for node in places.nodes:
            inputs = [source for source, target, _ in wired if target == node]
            _node(axes, places, node, inputs if _is_bar(graph, node) else [])
        return drawn


def parted(name: str) -> tuple[str, str]:
    """A node's name as base and subscript: c_{k-2} → ("c", "k−2"); the subscript is empty where there is none."""
    head, brace, rest = clean(name).partition("_{")
    return (head, rest[:-1].replace("-", "−")) if brace and rest.endswith("}") else (clean(name), "")


def alive(graph: CellGraph) -> frozenset[tuple[str, str, str]]:
    """Edges on some way from an input to the last node; the others carry only zeros or are not used."""
    forward = _reach(set(_inputs(graph)), [(source, target) for source, target, _ in graph.edges])
    backward = _reach({graph.nodes[-1]}, [(target, source) for source, target, _ in graph.edges])
    return frozenset(edge for edge in graph.edges if edge[0] in forward and edge[1] in backward)


def _reach(start: set[str], steps: list[tuple[str, str]]) -> set[str]:
    reached, grown = set(start), True
    while grown:
        more = {target for source, target in steps if source in reached} - reached
        reached |= more
        grown = bool(more)
    return reached


def _inputs(graph: CellGraph) -> list[str]:
    """Find a cell's inputs, of which a later numbered node is none.

    An inner node that nothing feeds carries zeros, so it must not look like an input.

    Returns:
        The first node, and further leading ones without an incoming edge.
    """
    fed = {target for _, target, _ in graph.edges}
    further = itertools.takewhile(lambda node: node not in fed and not node.isdigit(), graph.nodes[1:-1])
    return [graph.nodes[0], *further]


def _topological(graph: CellGraph) -> list[str]:
    """Nodes such that every edge points onward; ties in the graph's own order."""
    for source, target, _ in graph.edges:
        if source not in graph.nodes or target not in graph.nodes:
            raise ValueError(f"cell {graph.title!r} has an edge {source!r} → {target!r} to a node it does not list")
    order: list[str] = []
    while len(order) < len(graph.nodes):
        ready = [
            node
            for node in graph.nodes
            if node not in order and all(source in order for source, target, _ in graph.edges if target == node)
        ]
        if not ready:
            raise ValueError(f"cell {graph.title!r} has a cycle")
        order.append(ready[0])
    return order


def _is_bar(graph: CellGraph, node: str) -> bool:
    """Whether a node only collects others (concatenation): nothing leaves it and no operation feeds it."""
    operations = [operation for _, target, operation in graph.edges if target == node]
    leaves = any(source == node for source, _, _ in graph.edges)
    return bool(operations) and not leaves and all(operation in STRUCTURAL for operation in operations)


def _width(text: str, scale: float = 1.0, weight: str = "normal") -> float:
    if not text.strip():
        return 0.0
    path = TextPath((0, 0), clean(text), size=FONT * scale, prop=FontProperties(weight=weight))
    return float(path.get_extents().width)


def _node_width(name: str) -> float:
    base, below = parted(name)
    return max(2 * RADIUS, _width(base, weight="bold") + _width(below, SUBSCRIPT, "bold") + 10)


def _wires(axes: Axes, places: Layout, labelled: list[tuple[str, str, str]], wired: list[tuple[str, str, str]]) -> None:
    """The straight part of every wire: from a node along its lane to the last place where something leaves it."""
    for node, (x, y) in places.nodes.items():
        ends = [
            left - LEAD for (left, _), (source, _, _) in zip(places.labels, labelled, strict=True) if source == node
        ]
        ends += [places.nodes[target][0] for source, target, _ in wired if source == node]
        if ends:
            axes.plot([x, max(*ends, x)], [y, y], color=GREY, linewidth=1.4, solid_capstyle="round", zorder=1)


def _operation(
    axes: Axes,
    places: Layout,
    edge: tuple[str, str, str],
    place: tuple[float, float],
    arrivals: Sequence[tuple[float, float]],
    opacity: float,
) -> None:
    """One edge: branch off the wire, the labelled box, and the curve to its target with an arrowhead.

    Of several curves into a node the one from the highest lane arrives rightmost, so that they do not cross.
    """
    source, target, operation = edge
    left, middle = place
    shade, (_, lane), (x, y) = colour(operation), places.nodes[source], places.nodes[target]
    start, right, bend = left - LEAD, left + places.pill, LEAD * 0.7
    branch = [(start, lane), (start + bend, lane), (left - bend, middle), (left, middle)]
    spread = min(7.0, 18.0 / max(len(arrivals) - 1, 1))
    end_x = x + spread * ((len(arrivals) - 1) / 2 - arrivals.index(place))
    end_y = y - (RADIUS**2 - min(abs(end_x - x), RADIUS - 1) ** 2) ** 0.5
    tip = end_y - 5
    ahead, down = right + 0.75 * (end_x - right), middle + 0.25 * (tip - middle)
    curve = [(right, middle), (ahead, middle), (end_x, down), (end_x, tip)]
    for points in (branch, curve):
        path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
        line = PathPatch(
            path, facecolor="none", edgecolor=shade, linewidth=1.5, capstyle="round", alpha=opacity, zorder=2
        )
        axes.add_patch(line)
    head = Path([(end_x - 3, tip - 1), (end_x + 3, tip - 1), (end_x, end_y - 0.5), (end_x - 3, tip - 1)])
    axes.add_patch(PathPatch(head, facecolor=shade, edgecolor="none", alpha=opacity, zorder=3))
    axes.add_patch(_box(left, middle, places.pill, facecolor=PAPER))
    axes.add_patch(_box(left, middle, places.pill, facecolor=shade, alpha=0.13 * opacity))
    axes.add_patch(_box(left, middle, places.pill, facecolor="none", edgecolor=shade, alpha=opacity))
    axes.text(
        left + places.pill / 2,
        middle,
        clean(operation),
        size=FONT,
        color=INK,
        alpha=max(opacity, 0.6),
        ha="center",
        va="center_baseline",
        zorder=6,
    )


def _box(left: float, middle: float, width: float, **given: Any) -> FancyBboxPatch:
    """The rounded box of a label."""
    shape = f"round,pad=0,rounding_size={PILL / 2}"
    style: dict[str, Any] = {"edgecolor": "none", "linewidth": 1.1, "zorder": 5} | given
    return FancyBboxPatch((left, middle - PILL / 2), width, PILL, boxstyle=shape, **style)


def _node(axes: Axes, places: Layout, node: str, inputs: list[str]) -> None:
    """A circle, a rounded box where the name is long, or a tall bar where wires are concatenated."""
    x, y = places.nodes[node]
    wide = _node_width(node)
    heights = [places.nodes[source][1] for source in inputs]
    top, bottom = min([y, *heights]) - RADIUS, max([y, *heights]) + RADIUS
    if wide == 2 * RADIUS and not inputs:
        axes.add_patch(Circle((x, y), RADIUS, facecolor=PAPER, edgecolor=MUTED, linewidth=1.4, zorder=4))
    else:
        shape = f"round,pad=0,rounding_size={RADIUS}"
        box = FancyBboxPatch(
            (x - wide / 2, top),
            wide,
            bottom - top,
            boxstyle=shape,
            facecolor=PAPER,
            edgecolor=MUTED,
            linewidth=1.4,
            zorder=4,
        )
        axes.add_patch(box)
    base, below = parted(node)
    first, second = _width(base, weight="bold"), _width(below, SUBSCRIPT, "bold")
    style: dict[str, Any] = {"color": INK, "weight": "bold", "va": "center_baseline", "zorder": 6}
    axes.text(x - second / 2, y, base, size=FONT, ha="center", **style)
    if below:
        axes.text(x - second / 2 + first / 2 + 0.8, y + 3, below, size=FONT * SUBSCRIPT, ha="left", **style)
