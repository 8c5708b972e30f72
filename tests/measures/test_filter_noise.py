"""Filter-normalised noise: every filter moves by the same share of its norm, vectors stay."""

from __future__ import annotations

import pytest
import torch

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.measures.noise.filter_noise import FilterNoise
from lowland.measures.perturbation import Noise
from lowland.testing.tiny import Case, case


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def noise(**options: object) -> FilterNoise:
    return FilterNoise(**{"seed": 0, "draw": 0, "coefficients": {0: 0.25}, **options})


@pytest.mark.parametrize("shape", [(6, 4, 3, 3), (5, 7), (8, 1, 3, 3)])
def test_every_filter_moves_by_the_share_of_its_norm(shape: tuple[int, ...]):
    weight = torch.randn(shape, dtype=torch.float64) * torch.logspace(-2, 2, shape[0])[:, *[None] * (len(shape) - 1)]
    moved = (noise().apply("w", weight) - weight).flatten(1)
    assert torch.allclose(moved.norm(dim=1), 0.25 * weight.flatten(1).norm(dim=1))
    direction = Noise.apply(noise(), "w", torch.zeros_like(weight)).flatten(1)
    assert torch.allclose(torch.cosine_similarity(moved, direction), torch.ones(shape[0], dtype=torch.float64))
    mirrored = (noise(sign=-1).apply("w", weight) - weight).flatten(1)
    assert torch.allclose(mirrored, -moved)


def test_vectors_and_empty_filters_stay():
    vector = torch.randn(9)
    assert torch.equal(noise().apply("b", vector), vector)
    weight = torch.randn(3, 2, 3, 3)
    weight[1] = 0.0
    assert torch.equal(noise().apply("w", weight)[1], weight[1])


def test_memory_format_is_kept():
    weight = torch.randn(3, 4, 3, 3).contiguous(memory_format=torch.channels_last)
    moved = noise().apply("w", weight)
    assert moved.stride() == weight.stride()
    assert torch.allclose(moved, noise().apply("w", weight.contiguous()), rtol=1e-4, atol=1e-6)


def test_plain_and_filter_noise_are_told_apart_when_remembered(trained: Case):
    assert noise().identity != Noise(seed=0, draw=0, coefficients={0: 0.25}).identity
    scores = {}
    for name in ("perturbed_loss(sigma=0.2)", "filter_noise(sigma=0.2)") * 2:
        found = measures.get(MeasureConfig(name=name)).score(trained.supernet, trained.genotypes[0], trained.context)
        assert scores.setdefault(name, found) == found
    loss = scores["filter_noise(sigma=0.2)"].details["loss"]
    assert scores["filter_noise(sigma=0.2)"].value - loss != pytest.approx(scores["perturbed_loss(sigma=0.2)"].value)
