"""Cell drawings: nothing overlaps a label, whatever the cell."""

from __future__ import annotations

import itertools

import pytest
from made_up_facts import darts_cell, nasbench_cell

from lowland.report.figures import cells
from lowland.spaces.values import CellGraph

PARALLEL = CellGraph("block", ("a", "b"), (("a", "b", "conv_3x3"), ("a", "b", "conv_5x5"), ("a", "b", "skip_connect")))
GRAPHS = [
    darts_cell(full=True),
    darts_cell(full=False),
    PARALLEL,
    *(nasbench_cell("".join(word)) for word in itertools.product(".c", repeat=6)),
]


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: f"{len(graph.edges)} edges")
def test_labels_and_nodes_are_apart_and_inside(graph: CellGraph) -> None:
    places = cells.layout(graph)
    boxes = [(x, y - cells.PILL / 2, x + places.pill, y + cells.PILL / 2) for x, y in places.labels]
    boxes += [
        (x - cells.RADIUS, y - cells.RADIUS, x + cells.RADIUS, y + cells.RADIUS) for x, y in places.nodes.values()
    ]
    for first, second in itertools.combinations(boxes, 2):
        apart_x = first[2] <= second[0] or second[2] <= first[0]
        apart_y = first[3] <= second[1] or second[3] <= first[1]
        assert apart_x or apart_y
    for left, top, right, bottom in boxes:
        assert left >= 0
        assert top >= 0
        assert right <= places.width
        assert bottom <= places.height


@pytest.mark.parametrize("graph", GRAPHS[:4], ids=lambda graph: f"{len(graph.edges)} edges")
def test_no_wire_crosses_a_label(graph: CellGraph) -> None:
    """Every stroke is sampled; none passes through a label box but at the ends of its own edge."""
    places = cells.layout(graph)
    axes = cells.draw(graph).axes[0]
    boxes = [(x + 1, y - cells.PILL / 2 + 1, x + places.pill - 1, y + cells.PILL / 2 - 1) for x, y in places.labels]
    strokes = [patch.get_path().to_polygons(closed_only=False) for patch in axes.patches if patch.get_zorder() == 2]
    assert len(strokes) == 2 * len(places.labels)
    samples = [point for stroke in strokes for part in stroke for point in part]
    for line in axes.lines:
        (x0, y0), (x1, _) = line.get_xydata()
        samples += [(x0 + (x1 - x0) * step / 200, y0) for step in range(201)]
    for x, y in samples:
        assert not any(left < x < right and top < y < bottom for left, top, right, bottom in boxes)


def test_edges_point_right_and_operations_lie_before_their_target() -> None:
    graph = darts_cell(full=True)
    places = cells.layout(graph)
    for source, target, _ in graph.edges:
        assert places.nodes[source][0] < places.nodes[target][0]
    for (left, _), (source, target, _) in zip(places.labels, graph.edges, strict=False):
        assert places.nodes[source][0] < left < places.nodes[target][0]


def test_a_node_that_nothing_feeds_is_no_input_and_its_edges_fade() -> None:
    graph = nasbench_cell(".c" + "ccc" + "c")  # node 1 has no input
    assert cells.alive(graph) == {
        ("in", "2", "nor_conv_3x3"),
        ("in", "out", "nor_conv_3x3"),
        ("2", "out", "nor_conv_3x3"),
    }
    assert cells.layout(graph).nodes["1"][0] > cells.layout(graph).nodes["in"][0]
    assert len(cells.alive(darts_cell(full=True))) == 18
    assert cells.alive(nasbench_cell("......")) == frozenset()


def test_subscripts() -> None:
    assert cells.parted("c_{k-2}") == ("c", "k−2")
    assert cells.parted("out") == ("out", "")
    assert cells.parted("a_b") == ("a_b", "")


def test_graphs_that_are_none() -> None:
    with pytest.raises(ValueError, match="cycle"):
        cells.layout(CellGraph("odd", ("a", "b"), (("a", "b", "x"), ("b", "a", "x"))))
    with pytest.raises(ValueError, match="does not list"):
        cells.layout(CellGraph("odd", ("a",), (("a", "b", "x"),)))
