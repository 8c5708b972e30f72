"""Weight noise: its law, its determinism, and bit-exact restoration."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lowland.measures.perturbation import Noise, _NoiseCache, coefficients, effective_sigmas, noise, perturbed

PUBLISHED = {
    (1e-3, 3e-3, 6e-3): (1.000e-3, 2.236e-3, 3.742e-3),
    (2e-3, 1e-2, 2e-2): (2.000e-3, 8.246e-3, 12.961e-3),
}


@pytest.mark.parametrize(("sigmas", "effective"), PUBLISHED.items())
def test_effective_sigmas_of_the_public_code(sigmas: tuple[float, ...], effective: tuple[float, ...]):
    assert effective_sigmas(sigmas, "incremental") == pytest.approx(effective, abs=5e-7)
    assert effective_sigmas(sigmas, "absolute") == pytest.approx(sigmas)


@pytest.mark.parametrize("levels", ["absolute", "incremental"])
@pytest.mark.parametrize("sigmas", PUBLISHED)
def test_noise_really_has_the_effective_deviation(sigmas: tuple[float, ...], levels: str):
    weight = nn.Parameter(torch.zeros(200, 1000))
    for wanted, level in zip(effective_sigmas(sigmas, levels), coefficients(sigmas, levels), strict=True):
        with perturbed({"w": weight}, Noise(seed=0, draw=0, coefficients=level)):
            # Standard error of a standard deviation from 200,000 values: 0.16 %.
            assert float(weight.detach().std()) == pytest.approx(wanted, rel=0.01)
            assert abs(float(weight.detach().mean())) < 5 * wanted / math.sqrt(weight.numel())


def test_incremental_noise_accumulates_and_absolute_noise_is_independent():
    weight = nn.Parameter(torch.zeros(100_000, dtype=torch.float64))

    def drawn(levels: str) -> list[torch.Tensor]:
        found = []
        for level in coefficients((2e-3, 1e-2), levels):
            with perturbed({"w": weight}, Noise(seed=0, draw=0, coefficients=level)):
                found.append(weight.detach().clone())
        return found

    first, second = drawn("incremental")
    step = second - first
    assert float(step.std()) == pytest.approx(8e-3, rel=0.01)
    assert abs(float(torch.corrcoef(torch.stack([first, step]))[0, 1])) < 0.015
    assert abs(float(torch.corrcoef(torch.stack(drawn("absolute")))[0, 1])) < 0.015


def test_noise_is_a_function_of_seed_keys_and_name():
    like = torch.empty(3, 4, 5)
    base = noise("a.weight", like, 1, 0, 2)
    assert base.dtype == torch.float32
    assert torch.equal(base, noise("a.weight", like.double(), 1, 0, 2))
    for other in (("b.weight", like, 1, 0, 2), ("a.weight", like, 2, 0, 2), ("a.weight", like, 1, 1, 2)):
        assert not torch.equal(base, noise(*other))
    assert not torch.equal(base, noise("a.weight", like, 1, 0, 2, "genotype"))


def test_noise_does_not_depend_on_memory_format():
    plain = torch.randn(8, 4, 3, 3)
    last = plain.contiguous(memory_format=torch.channels_last)
    assert noise("w", last, 0).is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(noise("w", plain, 0), noise("w", last, 0))
    remembered = Noise(seed=3, draw=0, coefficients={0: 0.1}, remember=True)
    assert torch.equal(remembered.apply("w", plain), remembered.apply("w", last))
    assert remembered.apply("w", last).is_contiguous(memory_format=torch.channels_last)


@given(st.sampled_from([1, -1]), st.booleans(), st.booleans(), st.sampled_from([torch.float32, torch.float64]))
def test_apply_is_the_formula(sign: int, relative: bool, remember: bool, dtype: torch.dtype):
    weight = torch.linspace(-1, 1, 24, dtype=dtype).reshape(2, 3, 4)
    made = Noise(
        seed=5, draw=2, coefficients={0: 0.5, 3: 0.25}, keys=("k",), sign=sign, relative=relative, remember=remember
    )
    z = 0.5 * noise("w", weight, 5, 2, 0, "k").to(dtype) + 0.25 * noise("w", weight, 5, 2, 3, "k").to(dtype)
    torch.testing.assert_close(made.apply("w", weight), weight + sign * z * (weight if relative else 1))


@pytest.mark.parametrize("sign", [1, -1])
def test_weights_come_back_bit_exactly_also_after_an_exception_and_nested(sign: int):
    module = nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)
    parameters = dict(module.named_parameters())
    before = {name: (p.data_ptr(), p._version, p.stride(), p.detach().clone()) for name, p in parameters.items()}
    outer = Noise(seed=0, draw=0, coefficients={0: 0.1}, sign=sign)

    def use() -> None:
        with perturbed(parameters, outer), perturbed(parameters, outer):
            assert not torch.equal(module.weight, before["weight"][3])
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        use()
    for name, p in parameters.items():
        assert (p.data_ptr(), p._version, p.stride()) == before[name][:3]
        assert torch.equal(p, before[name][3])


def test_antithetic_pair_cancels():
    weight = nn.Parameter(torch.ones(50, dtype=torch.float64))
    values = []
    for sign in (1, -1):
        with perturbed({"w": weight}, Noise(seed=0, draw=0, coefficients={0: 0.1}, sign=sign)):
            values.append(weight.detach().clone())
    torch.testing.assert_close(values[0] + values[1], torch.full((50,), 2.0, dtype=torch.float64))


def test_noise_reaches_an_autocast_block_opened_outside():
    """Autocast remembers casts of weights; a stale one would make every noise level look the same."""
    module, x = nn.Linear(8, 8), torch.randn(4, 8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        clean = module(x)
        with perturbed(dict(module.named_parameters()), Noise(seed=0, draw=0, coefficients={0: 1.0})):
            assert not torch.equal(module(x), clean)
        assert torch.equal(module(x), clean)


def test_cache_forgets_the_least_recently_used():
    cache = _NoiseCache(limit_bytes=2 * 400)
    like = torch.empty(100)
    first = cache.get("a", like, 0)
    second = cache.get("b", like, 0)
    assert cache.get("a", like, 0) is first
    cache.get("c", like, 0)
    assert (len(cache), cache.bytes) == (2, 800)
    assert cache.get("a", like, 0) is first
    again = cache.get("b", like, 0)
    assert again is not second
    assert torch.equal(again, second)


def test_cache_keeps_nothing_larger_than_its_limit():
    cache = _NoiseCache(limit_bytes=100)
    cache.get("a", torch.empty(100), 0)
    assert (len(cache), cache.bytes) == (0, 0)
