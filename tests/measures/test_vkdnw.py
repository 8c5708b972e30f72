from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lowland.core.genotype import Genotype
from lowland.measures.untrained.vkdnw import (
    LARGEST,
    fisher_eigenvalues,
    score_vectors,
    spectrum_entropy,
    weighted_layers,
)

from .test_untrained import EMPTY, FULL, NASBENCH, SHAPE, pictures, score, small


def fisher(network: nn.Module, x: Tensor) -> Tensor:
    scores = score_vectors(network.eval().requires_grad_(False), x)
    return scores.T @ scores


def chosen(network: nn.Module) -> list[Tensor]:
    """Parameters whose first entries are the weights that count."""
    layers = (module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm))
    return [p for layer in layers for p in (layer.weight, layer.bias) if p is not None][:LARGEST]


def brute_force(network: nn.Module, x: Tensor) -> Tensor:
    """Σ_nk p_k ∇log p_k ∇log p_kᵀ / N, one image and one class at a time."""
    network = network.eval().requires_grad_(True)
    total = torch.zeros(len(chosen(network)), len(chosen(network)), dtype=torch.float64)
    for image in x:
        log_p = network(image[None]).log_softmax(1)[0]
        for k in range(len(log_p)):
            found = torch.autograd.grad(log_p[k], chosen(network), retain_graph=True, materialize_grads=True)
            gradient = torch.stack([g.flatten()[0] for g in found]).double()
            total += log_p[k].exp().item() * torch.outer(gradient, gradient)
    return total / len(x)


def test_softmax_regression_has_its_analytic_fisher_matrix() -> None:
    """F = mean of p₀(1 − p₀)·(x₀, 1)(x₀, 1)ᵀ for the first weight and the first bias."""
    network = nn.Linear(3, 4).double()
    x = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = network(x).softmax(1)[:, 0].detach()
    features = torch.stack([x[:, 0], torch.ones(7, dtype=torch.float64)], dim=1)
    wanted = (features * (p * (1 - p))[:, None]).T @ features / 7
    torch.testing.assert_close(fisher(network, x), wanted, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(fisher_eigenvalues(score_vectors(network, x)), torch.linalg.eigvalsh(wanted))


def test_agrees_with_brute_force() -> None:
    network, (x, _) = small(), pictures()
    network[1].running_mean.normal_(generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(fisher(network, x), brute_force(network, x), rtol=1e-9, atol=1e-13)
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("space_genes", [(3, 2, 4, 1, 3, 2), (0, 3, 3, 0, 0, 3)])
def test_agrees_with_brute_force_on_a_real_network(space_genes: tuple[int, ...]) -> None:
    """Weights of operations that are never computed have zero rows and columns."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = NASBENCH.network(Genotype("nasbench201", space_genes), SHAPE).double()
    x, _ = pictures(4)
    found = fisher(network, x)
    torch.testing.assert_close(found, brute_force(network, x), rtol=1e-8, atol=1e-12)
    layers = [
        name for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm)
    ]
    names = [name for name in layers for tensor in ("weight", "bias") if f"{name}.{tensor}" in network.state_dict()]
    never = [".edges.2." in name and space_genes[0] == 0 for name in names]
    assert not found.diagonal()[torch.tensor(never)].any()


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, bias=False),
        nn.Conv2d(4, 3, (1, 3), padding="same"),
        nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"),
    ],
)
def test_every_kind_of_convolution(layer: nn.Module) -> None:
    network = nn.Sequential(layer, nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(3)).double()
    x = torch.randn(3, 4, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network(x)
    torch.testing.assert_close(fisher(network, x), brute_force(network, x), rtol=1e-9, atol=1e-13)


def test_a_layer_that_runs_twice_adds_both_ways() -> None:
    layer = nn.Linear(3, 3).double()
    network = nn.Sequential(layer, nn.Tanh(), layer)
    x = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fisher(network, x), brute_force(network, x), rtol=1e-10, atol=1e-14)


def test_no_more_than_the_first_weights() -> None:
    network = nn.Sequential(*[nn.Linear(2, 2) for _ in range(LARGEST)])
    assert score_vectors(network, torch.randn(3, 2)).shape == (6, LARGEST)


# --- from spectrum to score ----------------------------------------------------------------------------------------


def test_entropy_of_deciles() -> None:
    assert spectrum_entropy(torch.full((40,), 3.0, dtype=torch.float64)) == pytest.approx(math.log(9))
    assert spectrum_entropy(torch.zeros(5, dtype=torch.float64)) == 0.0
    # The deciles of 0 … 10 are 1 … 9.
    wanted = -sum(k / 45 * math.log(k / 45) for k in range(1, 10))
    assert spectrum_entropy(torch.arange(11, dtype=torch.float64)) == pytest.approx(wanted, rel=1e-12)
    assert spectrum_entropy(1e-9 * torch.arange(11, dtype=torch.float64)) == pytest.approx(wanted, rel=1e-12)


def test_entropy_ignores_the_extremes() -> None:
    eigenvalues = torch.ones(101, dtype=torch.float64)
    eigenvalues[0], eigenvalues[-1] = 0.0, 1e9
    assert spectrum_entropy(eigenvalues) == pytest.approx(math.log(9))


def test_eigenvalues_in_doubt_are_zero() -> None:
    """P = 4 weights but only two independent scores."""
    scores = torch.tensor([[3.0, 0.0, 3.0, 0.0], [0.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
    assert fisher_eigenvalues(scores).tolist() == pytest.approx([0.0, 0.0, 2.0, 18.0])
    assert fisher_eigenvalues(scores)[:2].tolist() == [0.0, 0.0]
    assert fisher_eigenvalues(torch.zeros(3, 2, dtype=torch.float64)).tolist() == [0.0, 0.0]


def test_layers_are_convolutions_and_the_classifier() -> None:
    """Stem, three convolutions in each of two reduction blocks, six in each of three cells, classifier."""
    assert weighted_layers(NASBENCH.network(FULL, SHAPE)) == 1 + 2 * 3 + 3 * 6 + 1
    assert weighted_layers(NASBENCH.network(EMPTY, SHAPE)) == 8


def test_score_is_layers_plus_entropy() -> None:
    entropy = score("vkdnw_entropy").value
    assert 0.0 < entropy <= math.log(9)
    assert score("vkdnw").value == pytest.approx(26 + entropy, rel=1e-12)
    assert score("vkdnw", EMPTY).value == 8.0
