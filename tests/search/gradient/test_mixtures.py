"""From architecture parameters to mixtures and to genotypes."""

from __future__ import annotations

import pytest
import torch

from lowland import spaces
from lowland.core.genotype import Genotype
from lowland.search.gradient import architecture as maths
from lowland.search.gradient.architecture import Architecture
from lowland.search.gradient.progressive import best, restricted, skip_dropout

CPU = torch.device("cpu")
DARTS, NB201 = (spaces.get(name).relaxation for name in ("darts", "nasbench201"))


def test_parameters_are_a_function_of_the_seed() -> None:
    first, second, other = (Architecture.initial(DARTS, CPU, seed) for seed in (1, 1, 2))
    assert torch.equal(first.operations_KEO, second.operations_KEO)
    assert not torch.equal(first.operations_KEO, other.operations_KEO)
    assert first.operations_KEO.detach().std() == pytest.approx(1e-3, rel=0.2)
    assert all(each.is_leaf and each.requires_grad for each in first.parameters())


def test_softmax_is_over_what_is_live() -> None:
    made = Architecture.initial(DARTS, CPU, 0, none=False, edges=True)
    weights = maths.softmax(made)
    assert not weights[..., 0].any()
    assert torch.allclose(weights.sum(-1), torch.ones(2, 14))
    edges = maths.edge_softmax(made)
    assert edges is not None
    for node in DARTS.nodes:
        assert torch.allclose(edges[:, list(node)].sum(1), torch.ones(2))
    assert maths.edge_softmax(Architecture.initial(DARTS, CPU, 0)) is None


def test_the_two_strongest_edges_of_a_node_are_kept_without_none() -> None:
    weights = torch.zeros(DARTS.size)
    weights[..., 0] = 5.0  # `none` decides nothing
    weights[0, :, 4] = torch.arange(14) / 100 + 0.1
    weights[1, :, 3] = 0.2
    genes = maths.genes(DARTS, weights)
    spaces.get("darts").validate(Genotype("darts", genes))
    assert [edge for edge in range(14) if genes[edge]] == [0, 1, 3, 4, 7, 8, 12, 13]
    assert set(genes[:14]) == {0, 4}
    assert [edge for edge in range(14) if genes[14 + edge]] == [0, 1, 2, 3, 5, 6, 9, 10], "ties go to the first"
    assert maths.skips(DARTS, genes) == {"normal": 0, "reduction": 8}


def test_every_edge_of_nasbench201_takes_its_heaviest_even_none() -> None:
    weights = torch.zeros(NB201.size)
    for edge, operation in enumerate((0, 1, 2, 3, 4, 0)):
        weights[0, edge, operation] = 1.0
    assert maths.genes(NB201, weights) == (0, 1, 2, 3, 4, 0)


def test_skips_that_win_everywhere_are_the_collapsed_cell() -> None:
    """The cell of 54.30 % (NAS-Bench-201, DARTS' row): a skip on every edge."""
    made = Architecture.initial(NB201, CPU, 0)
    with torch.no_grad():
        made.operations_KEO[..., NB201.skip] = 1.0
    genes = maths.genes(NB201, maths.softmax(made))
    assert genes == (1,) * 6
    assert maths.skips(NB201, genes) == {"cell": 6}


def test_edges_below_a_threshold_are_none() -> None:
    weights = torch.zeros(NB201.size)
    weights[0, :, 3] = torch.tensor([0.84, 0.85, 0.86, 0.1, 0.9, 0.2])
    assert maths.genes(NB201, weights, least=0.85) == (0, 3, 3, 0, 3, 0)


def test_operations_fall_from_stage_to_stage() -> None:
    generator = torch.Generator().manual_seed(0)
    live = torch.ones(DARTS.size, dtype=torch.bool)
    for count in (8, 5, 3, 1):
        weights = torch.rand(DARTS.size, generator=generator)
        fewer = best(weights, live, count)
        assert (fewer.sum(-1) == count).all()
        assert not (fewer & ~live).any()
        kept = weights.masked_fill(~live, -1).topk(count, dim=-1).values.min(-1).values
        assert (weights.masked_fill(~fewer, 2).min(-1).values >= kept).all()
        live = fewer


def test_the_normal_cell_has_at_most_two_skips() -> None:
    weights = torch.full(DARTS.size, 0.01)
    weights[..., DARTS.skip] = torch.linspace(0.5, 0.9, 14)
    weights[..., 4] = 0.3
    weights[..., 0] = 3.0
    genes = restricted(DARTS, weights, 2)
    spaces.get("darts").validate(Genotype("darts", genes))
    assert maths.skips(DARTS, genes) == {"normal": 2, "reduction": 8}
    assert [edge for edge in range(14) if genes[edge] == DARTS.skip] == [12, 13], "the heaviest stay"
    assert maths.skips(DARTS, restricted(DARTS, weights, 8))["normal"] == 8


def test_dropout_behind_skips_falls() -> None:
    assert skip_dropout(0.4, 0, 25, 10) == pytest.approx(0.4 * 24 / 25)
    assert skip_dropout(0.4, 9, 25, 10) == pytest.approx(0.4 * 15 / 25)
    assert skip_dropout(0.4, 10, 25, 10) == pytest.approx(0.4)
    assert skip_dropout(0.4, 15, 25, 10) == pytest.approx(0.4 * 0.36788, abs=1e-5)


def test_skips_are_given_up_where_nothing_else_is_live() -> None:
    """It went on for ever: the skip that was given up was chosen again among operations that are no choice."""
    relaxation = spaces.get("nasbench201").relaxation
    weights = torch.zeros(relaxation.size)
    weights[..., : relaxation.skip + 1] = 0.5
    found = restricted(relaxation, weights, 2)
    assert maths.skips(relaxation, found)[relaxation.kinds[0]] == 2
    assert 0 not in found
