"""The angle of DARTS networks: its routes against brute force."""

import itertools

import pytest
import torch
from hypothesis import given
from torch import nn

from darts_cells import SPACE, TINY, all_operations, sample, seeds, supernet
from lowland.core.genotype import Genotype
from lowland.spaces import Shape, Supernet, is_searched
from lowland.spaces.darts.genotype import EDGES, OPERATIONS, live_edges
from lowland.spaces.darts.layout import cell_layouts
from lowland.spaces.darts.space import route_counts
from lowland.spaces.values import Stem


def routes() -> list[list[int]]:
    """Every route from an input to an inner node, as the edges it runs through."""
    index = {(source, node + 2): edge for edge, (node, source) in enumerate(EDGES)}
    found = []
    for length in range(2, 6):
        for nodes in itertools.combinations(range(6), length):
            if nodes[0] < 2 and nodes[1] >= 2:
                found.append([index[pair] for pair in itertools.pairwise(nodes)])
    return found


def test_there_are_30_routes() -> None:
    assert len(routes()) == 30


@given(seeds)
def test_route_counts_equal_enumeration(seed: int) -> None:
    genotype = sample(seed)
    for start, cell in zip((0, 14), live_edges(genotype), strict=True):
        genes = genotype.genes[start : start + 14]
        counted: dict[int, int] = {}
        for route in routes():
            if all(genes[edge] for edge in route):
                for edge in route:
                    counted[edge] = counted.get(edge, 0) + 1
        assert route_counts(cell) == counted


def concatenated_square(net: Supernet, genotype: Genotype) -> float:
    """Squared norm of the architecture vector, by writing the vector out route by route."""
    parts: list[torch.Tensor] = []
    for name, value in net.named_parameters():
        if not is_searched(name) and name != "classifier.bias":
            parts.append(value)
    for index, layout in enumerate(cell_layouts(net.shape)):
        genes = genotype.genes[14:] if layout.reduction else genotype.genes[:14]
        for route in routes():
            if not all(genes[edge] for edge in route):
                continue
            for edge in route:
                name = OPERATIONS[genes[edge]]
                module = net.get_submodule(f"cells.{index}.edges.{edge}.{name}")
                parts += module.parameters()
                if "pool" in name:
                    parts.append(torch.full((layout.channels, 3, 3), 1 / 9))
                elif isinstance(module, nn.Identity):
                    parts.append(torch.eye(layout.channels))
    return float(sum(part.detach().double().square().sum() for part in parts))


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_angle_terms_equal_the_written_out_vector(stem: Stem) -> None:
    shape = Shape(image_size=8, num_classes=5, channels=4, cells=4, stem=stem)
    net = supernet(shape)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn_like(parameter))
    values = dict(net.named_parameters())
    for genotype in (all_operations(), sample(8), sample(9)):
        total = 0.0
        for term in SPACE.angle_terms(net, genotype):
            square = term.square if term.name is None else float(values[term.name].detach().double().square().sum())
            total += term.times * square
        assert total == pytest.approx(concatenated_square(net, genotype), rel=1e-9)


def test_bn_scale_twice_stands_for_the_shift_of_dilated_convolutions() -> None:
    net = supernet(TINY)
    genotype = all_operations()
    once, twice = (
        {term.name: term.times for term in SPACE.angle_terms(net, genotype, bn_scale=option) if term.name}
        for option in ("once", "twice")
    )
    for name, times in once.items():
        dilated = "dil_conv" in name
        if dilated and name.endswith("3.bias"):
            assert name not in twice
        else:
            assert twice[name] == times * (2 if dilated and name.endswith("3.weight") else 1)
    assert twice.keys() <= once.keys()
