"""Hessian products, quadratic forms and Lanczos' eigenpairs against dense Hessians and scipy's eigsh."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lowland.core.config import MeasureConfig
from lowland.core.genotype import Genotype
from lowland.measures import Subnet, calibrated_subnet
from lowland.measures.curvature.hessian import LossHessian
from lowland.measures.curvature.lanczos import top_eigenpairs
from lowland.spaces.single import Single
from lowland.spaces.values import Shape
from lowland.testing.tiny import Case, case

CONFIG = MeasureConfig(name="hessian_trace")
SMALL = Genotype("tiny", (0, 1))
"""A path of few parameters, so that its whole Hessian is quick to come by."""


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


@pytest.fixture
def path(trained: Case) -> Iterator[Subnet]:
    with calibrated_subnet(trained.supernet, SMALL, trained.context, CONFIG) as found:
        yield found


def logistic(trained: Case) -> tuple[Single, Case]:
    """Logistic regression on 2×2 thumbnails, whose Hessian has a closed form."""
    torch.manual_seed(0)
    genotype = Genotype("tiny", (0, 0))
    network = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4, 3)).double()
    return Single(network, genotype, Shape(in_channels=1, image_size=8, num_classes=3)), trained


def dense(found: Subnet, parameters: Mapping[str, Tensor], images: int) -> Tensor:
    """The whole Hessian (P, P) by torch.func.hessian."""
    x = torch.cat([x for x, _ in found.context.scored])[:images]
    labels = torch.cat([labels for _, labels in found.context.scored])[:images]
    shapes = {name: value.shape for name, value in parameters.items()}

    def loss(w_P: Tensor) -> Tensor:
        parts = w_P.split([shape.numel() for shape in shapes.values()])
        named = {name: part.view(shape) for part, (name, shape) in zip(parts, shapes.items(), strict=True)}
        return cross_entropy(functional_call(found.supernet, named, (x, found.genotype)), labels)

    w_P = torch.cat([value.detach().flatten() for value in parameters.values()])
    return torch.func.hessian(loss)(w_P).detach()


def test_logistic_regression_has_the_hessian_of_the_textbook(trained: Case):
    """H = mean over images of (diag(p) − ppᵀ) ⊗ xxᵀ, x with a one for the bias."""
    supernet, _ = logistic(trained)
    with calibrated_subnet(supernet, supernet.genotype, trained.context, CONFIG) as found:
        hessian = LossHessian(found, found.parameters, 1000)
        assert (hessian.size, hessian.images) == (15, 60)
        x = torch.cat([x for x, _ in trained.context.scored])
        with torch.no_grad():
            p_NK = supernet(x, supernet.genotype).softmax(1)
            thumbnails = supernet.network[:2](x)
        features = torch.cat([thumbnails, torch.ones(60, 1)], dim=1).double()
        spread = torch.diag_embed(p_NK) - p_NK[:, :, None] * p_NK[:, None]
        blocks = torch.einsum("nij,na,nb->iajb", spread, features, features) / 60
        order = [i * 5 + a for i in range(3) for a in range(4)] + [i * 5 + 4 for i in range(3)]
        wanted = blocks.reshape(15, 15)[order][:, order]
        products = torch.stack([hessian.product(row) for row in torch.eye(15).double()])
        assert torch.allclose(products, wanted, atol=1e-14)
        diagonal_GK, sizes_G = hessian.quadratic_forms(torch.eye(15).double(), 1)
        assert sizes_G.tolist() == [60]
        assert diagonal_GK[0] == pytest.approx(wanted.diagonal().numpy(), abs=1e-14)


@pytest.mark.parametrize("images", [10, 50])
def test_products_forms_and_gradient_equal_the_dense_hessian(path: Subnet, images: int):
    parameters = path.parameters
    hessian, matrix = LossHessian(path, parameters, images), dense(path, parameters, images)
    v_KP = torch.randn(2, hessian.size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for v_P in v_KP:
        assert torch.allclose(hessian.product(v_P), matrix @ v_P, rtol=1e-9, atol=1e-10)
    forms_GK, sizes_G = hessian.quadratic_forms(v_KP, 4)
    assert len(sizes_G) <= 4
    assert sizes_G.sum() == images
    wanted = torch.einsum("kp,pq,kq->k", v_KP, matrix, v_KP).numpy()
    assert sizes_G @ forms_GK / images == pytest.approx(wanted, rel=1e-9)

    step = 1e-6 * v_KP[0] / v_KP[0].norm()
    slope = float(hessian.gradient() @ step)
    x = torch.cat([x for x, _ in path.context.scored])[:images]
    labels = torch.cat([labels for _, labels in path.context.scored])[:images]

    def loss(sign: int) -> float:
        moved = {name: parameters[name] + sign * part for name, part in hessian.named(step).items()}
        with torch.no_grad():
            return float(cross_entropy(functional_call(path.supernet, moved, (x, path.genotype)), labels))

    assert (loss(1) - loss(-1)) / 2 == pytest.approx(slope, rel=1e-4)


def test_top_eigenpairs_equal_eigsh(path: Subnet):
    hessian = LossHessian(path, path.parameters, 40)
    found = top_eigenpairs(hessian.product, hessian.vector("start"), 3, tolerance=1e-9)
    operator = LinearOperator(
        (hessian.size, hessian.size), lambda v: hessian.product(torch.from_numpy(v.ravel())).numpy(), dtype=np.float64
    )
    values, vectors = eigsh(operator, k=3, which="LA", tol=1e-10)
    assert found.values_J == pytest.approx(values[::-1], rel=1e-8)
    overlap = np.abs(found.vectors_JP.numpy() @ vectors[:, ::-1])
    assert overlap == pytest.approx(np.eye(3), abs=1e-6)
    assert found.products < hessian.size


def test_single_precision_finds_the_same_eigenvector(path: Subnet):
    hessian = LossHessian(path, path.parameters, 40)
    size = hessian.size
    exact = top_eigenpairs(hessian.product, torch.ones(size).double(), 1)
    single = case("tiny", torch.float32)
    single.supernet.load_state_dict({k: v.float() for k, v in path.supernet.state_dict().items()})
    with calibrated_subnet(single.supernet, SMALL, single.context, CONFIG) as found:
        rounded = top_eigenpairs(LossHessian(found, found.parameters, 40).product, torch.ones(size), 1)
    assert rounded.values_J == pytest.approx(exact.values_J, rel=1e-4)
    assert abs(float(rounded.vectors_JP[0].double() @ exact.vectors_JP[0])) == pytest.approx(1.0, abs=1e-4)


def test_vectors_are_alike_for_candidates_that_share_parameters(trained: Case):
    def stem(genotype: Genotype) -> Tensor:
        with calibrated_subnet(trained.supernet, genotype, trained.context, CONFIG) as found:
            hessian = LossHessian(found, found.parameters, 10)
            return hessian.named(hessian.vector("key"))["stem.0.weight"]

    assert torch.equal(stem(trained.genotypes[0]), stem(trained.genotypes[2]))


def test_gradients_switched_off_or_autocast_by_the_caller_do_not_matter(path: Subnet):
    hessian = LossHessian(path, path.parameters, 10)
    v_P = hessian.vector("key")
    wanted = hessian.product(v_P)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(hessian.product(v_P), wanted)
    assert not wanted.requires_grad
    assert all(p.grad is None and p.requires_grad for p in path.supernet.parameters())


def test_without_parameters_everything_is_empty(path: Subnet):
    hessian = LossHessian(path, {}, 10)
    assert hessian.product(hessian.vector("key")).shape == (0,)
    forms_GK, _ = hessian.quadratic_forms(hessian.vector("key")[None], 2)
    assert forms_GK.tolist() == [[0.0], [0.0]]
    assert top_eigenpairs(hessian.product, hessian.vector("key"), 2).vectors_JP.shape == (0, 0)


def test_parameters_that_cannot_move_the_loss_have_no_curvature(path: Subnet):
    dead = {"dead": nn.Parameter(torch.ones(3, dtype=torch.float64))}
    path.supernet.register_parameter("dead", dead["dead"])
    try:
        hessian = LossHessian(path, dead, 10)
        assert hessian.product(torch.ones(3).double()).tolist() == [0, 0, 0]
        assert hessian.gradient().tolist() == [0, 0, 0]
    finally:
        del path.supernet.dead


def test_a_curvature_that_is_not_finite_is_a_value_error(trained: Case):
    context = replace(trained.context, scored=[(x * float("nan"), y) for x, y in trained.context.scored])
    with calibrated_subnet(trained.supernet, trained.genotypes[0], context, CONFIG) as found:
        hessian = LossHessian(found, found.parameters, 10)
        with pytest.raises(ValueError, match="curvature of the loss is not finite"):
            top_eigenpairs(hessian.product, hessian.vector("start"), 1)
        with pytest.raises(ValueError, match="curvature of the loss is not finite"):
            hessian.quadratic_forms(hessian.vector("start")[None], 1)


@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 10_000))
def test_lanczos_equals_eigh_on_any_symmetric_matrix(size: int, count: int, seed: int):
    rng = np.random.default_rng(seed)
    a = rng.standard_normal((size, size))
    matrix = torch.from_numpy(a + a.T)
    found = top_eigenpairs(lambda v: matrix @ v, torch.from_numpy(rng.standard_normal(size)), count, tolerance=1e-12)
    assert found.values_J == pytest.approx(np.linalg.eigvalsh(matrix.numpy())[::-1][:count], abs=1e-8)
    vectors = found.vectors_JP
    assert torch.allclose(vectors @ vectors.T, torch.eye(len(vectors)).double(), atol=1e-9)
    assert torch.allclose(vectors @ matrix, torch.from_numpy(found.values_J)[:, None] * vectors, atol=1e-7)


def test_lanczos_residuals_are_honest_where_it_is_stopped_early():
    rng = np.random.default_rng(0)
    spectrum = torch.from_numpy(np.sort(rng.random(200)))
    found = top_eigenpairs(lambda v: spectrum * v, torch.ones(200).double(), 2, steps=8)
    assert found.products == 8
    for value, vector, residual in zip(found.values_J, found.vectors_JP, found.residuals_J, strict=True):
        assert float((spectrum * vector - value * vector).norm()) == pytest.approx(residual, rel=1e-6)
        assert float((spectrum - value).abs().min()) <= residual


def test_lanczos_takes_the_largest_not_the_most_negative():
    spectrum = torch.tensor([-9.0, 1.0, 3.0]).double()
    found = top_eigenpairs(lambda v: spectrum * v, torch.ones(3).double(), 1)
    assert found.values_J == pytest.approx([3.0])
    assert found.vectors_JP.abs().argmax() == 2


def test_lanczos_ends_where_the_operator_leads_nowhere():
    for factor, value in ((0.0, 0.0), (2.0, 2.0)):
        found = top_eigenpairs(lambda v, factor=factor: factor * v, torch.ones(5).double(), 3)
        assert found.values_J == pytest.approx([value])
        assert found.products == 1
