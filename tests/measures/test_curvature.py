"""Trace, eigenvalues and spectral density: of operators with known ones, and of a candidate by its dense Hessian."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lowland.core.errors import ConfigError
from lowland.measures import calibrated_subnet
from lowland.measures.curvature.curvature import curvature
from lowland.measures.curvature.density import spectral_density
from lowland.measures.curvature.hessian import LossHessian
from lowland.measures.curvature.operator import Hessian, Piece
from lowland.testing.tiny import case

from .test_hessian import CONFIG, SMALL, dense

SPECTRUM = torch.tensor([-1.0, 0.0, 0.0, 0.5, 2.0, 10.0], dtype=torch.float64)


class Quadratic(Hessian):
    """½ wᵀ A_b w of every piece b, at weights w."""

    def __init__(self, matrices: Sequence[Tensor], images: Sequence[int], at: Tensor) -> None:
        self.w = nn.Parameter(at.clone())
        super().__init__({"w": self.w}, sum(images), 0)
        self.matrices, self.counts = matrices, images

    def groups(self, count: int) -> Iterator[Sequence[Piece]]:
        pieces = [
            Piece(n, lambda graph, a=a: self.loss(a, graph)) for n, a in zip(self.counts, self.matrices, strict=True)
        ]
        yield from [pieces] if count == 1 else [[piece] for piece in pieces]

    def loss(self, matrix: Tensor, graph: bool) -> tuple[Tensor, list[Tensor]]:
        leaf = self.w.detach().requires_grad_(graph)
        return leaf @ matrix @ leaf / 2, [leaf]


def rotated(spectrum: Tensor, seed: int = 0) -> Tensor:
    random = torch.randn(len(spectrum), len(spectrum), generator=torch.Generator().manual_seed(seed)).double()
    q = torch.linalg.qr(random)[0]
    return q @ torch.diag(spectrum) @ q.T


def test_a_quadratic_has_the_curvature_it_was_given():
    matrix = rotated(SPECTRUM)
    found, pairs = curvature(Quadratic([matrix], [5], torch.ones(6).double()), eigenvalues=3, vectors=400, steps=6)
    assert [each.value for each in found.eigenvalues] == pytest.approx([10.0, 2.0, 0.5], abs=1e-8)
    assert all(each.residual < 1e-3 and each.standard_error is None for each in found.eigenvalues)
    assert torch.allclose(pairs.vectors_JP @ matrix, torch.tensor([[10.0], [2.0], [0.5]]) * pairs.vectors_JP, atol=1e-6)
    assert abs(found.trace - 11.5) < 3 * found.trace_se
    assert (found.trace_images_se, found.images, found.parameters) == (None, 5, 6)
    # Hutchinson's variance over ±1 is 2·Σ_{i≠j} A_ij².
    wanted = np.sqrt(2 * float((matrix**2).sum() - (matrix.diagonal() ** 2).sum()) / 400)
    assert found.trace_vectors_se == pytest.approx(wanted, rel=0.15)


def test_the_moments_of_the_density_are_those_of_the_spectrum():
    matrix = rotated(SPECTRUM)
    # The columns of a Hadamard matrix: with them Hutchinson's estimate of any function is exact.
    hadamard = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    eight = torch.kron(torch.kron(hadamard, hadamard), hadamard)
    padded = torch.zeros(8, 8).double()
    padded[:6, :6] = matrix
    found = spectral_density(lambda v: padded @ v, list(eight), steps=8)
    for power in range(1, 6):
        assert found.moment(power)[0] == pytest.approx(float((SPECTRUM**power).sum()) / 8, rel=1e-9)
    assert np.trapezoid(found.values, found.grid) == pytest.approx(1.0, abs=1e-3)
    assert all(sum(each) == pytest.approx(1.0) for each in found.weights)
    assert found.smallest == pytest.approx(-1.0, abs=1e-6)
    alone = spectral_density(lambda v: padded @ v, [eight[1]], steps=8)
    assert alone.errors is None
    assert alone.moment(1)[1] is None


def test_the_identity_has_one_eigenvalue():
    found = spectral_density(lambda v: v, [torch.ones(4), torch.ones(4)], steps=3)
    assert found.nodes == ((1.0,), (1.0,))
    assert found.moment(2) == (1.0, 0.0)


def test_standard_errors_over_images_are_those_of_groups_of_unlike_curvature():
    """Groups of A and 3A: λ and trace of their mean, with the spread over groups as the error."""
    matrix = torch.diag(torch.tensor([4.0, 1.0], dtype=torch.float64))
    found, _ = curvature(Quadratic([matrix, 3 * matrix], [10, 10], torch.ones(2).double()), eigenvalues=1, vectors=2)
    assert found.trace == pytest.approx(10.0)
    assert found.trace_images_se == pytest.approx(5.0)  # s/√2 of traces 5 and 15
    assert found.trace_vectors_se == pytest.approx(0.0)
    assert found.eigenvalues[0].value == pytest.approx(8.0)
    assert found.eigenvalues[0].standard_error == pytest.approx(4.0)  # of 4 and 12


def test_a_candidate_as_it_is_measured():
    trained = case()
    with calibrated_subnet(trained.supernet, SMALL, trained.context, CONFIG) as path:
        values = np.linalg.eigvalsh(dense(path, path.parameters, 40).numpy())
        found, _ = curvature(LossHessian(path, path.parameters, 40), eigenvalues=2, vectors=8, steps=8)
    assert [each.value for each in found.eigenvalues] == pytest.approx(values[::-1][:2], rel=1e-4)
    assert abs(found.trace - values.sum()) < 4 * found.trace_vectors_se
    moment, error = found.density.moment(2)
    assert abs(moment - (values**2).mean()) < 5 * error
    assert all(each.standard_error > 0 for each in found.eigenvalues)


@pytest.mark.parametrize("name", ["eigenvalues", "vectors", "steps"])
def test_numbers_out_of_range_are_refused(name: str):
    with pytest.raises(ConfigError, match=f"{name} of the curvature must be at least"):
        curvature(Quadratic([torch.eye(2).double()], [1], torch.ones(2).double()), **{name: -1})
