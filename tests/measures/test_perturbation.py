"""Weight noise: its law, its determinism, and bit-exact restoration."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lowland.measures.perturbation import BANK, Bank, Noise, coefficients, effective_sigmas, noise, perturbed

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
    bank = Bank(10**6)
    parameter = nn.Parameter(last)
    assert torch.equal(remembered.apply("w", plain), bank.get("w", parameter, remembered))
    assert bank.get("w", parameter, remembered).is_contiguous(memory_format=torch.channels_last)


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


def shared(draw: int = 0, **changes) -> Noise:
    return Noise(**{"seed": 0, "draw": draw, "coefficients": {0: 0.1}, "remember": True, **changes})


def test_the_bank_gives_what_the_noise_gives_and_keeps_it():
    bank, weight = Bank(10**6), nn.Parameter(torch.linspace(-1, 1, 60).reshape(3, 4, 5))
    noises = [
        shared(), shared(1), shared(sign=-1), shared(relative=True), shared(seed=1), shared(coefficients={1: 0.1}),
        shared(coefficients={0: 0.1, 1: 0.1}), shared(keys=("k",)),
    ]  # fmt: skip
    found = [bank.get("w", weight, noise) for noise in noises]
    assert len(bank) == len(noises)
    for each, value in zip(noises, found, strict=True):
        assert torch.equal(value, each.apply("w", weight.detach()))
        assert bank.get("w", weight, each) is value


def test_the_bank_keeps_to_its_limit_and_computes_again_what_it_forgot():
    bank, weight = Bank(limit_bytes=2 * 400), nn.Parameter(torch.ones(100))
    found = [bank.get("w", weight, shared(draw)) for draw in range(3)]
    assert (len(bank), bank.bytes) == (2, 800)
    for draw, value in enumerate(found):
        assert torch.equal(bank.get("w", weight, shared(draw)), value)
    assert (len(bank), bank.bytes) == (2, 800)


def kept(bank: Bank) -> list[torch.Tensor]:
    return [entry.value for entry in bank._entries.values()]


def test_draws_that_candidates_ask_for_in_turn_are_mostly_found_where_nearly_all_fit():
    """With room for 95 of 100 the least recently used entry is always the one asked for next: none was found."""
    bank, weight = Bank(limit_bytes=95 * 40), nn.Parameter(torch.ones(10))
    hits = 0
    for candidate in range(16):
        for draw in range(100):
            before = set(map(id, kept(bank)))
            hits += candidate > 0 and id(bank.get("w", weight, shared(draw))) in before
    assert hits > 0.8 * 15 * 100


def test_the_bank_keeps_nothing_larger_than_its_limit():
    bank = Bank(limit_bytes=100)
    bank.get("w", nn.Parameter(torch.ones(100)), shared())
    assert (len(bank), bank.bytes) == (0, 0)


def test_the_bank_notices_changed_and_replaced_weights():
    bank, weight = Bank(10**6), nn.Parameter(torch.ones(100))
    before = bank.get("w", weight, shared())
    with torch.no_grad():
        weight.mul_(2)
    changed = bank.get("w", weight, shared())
    assert torch.equal(changed, shared().apply("w", weight.detach()))
    assert not torch.equal(changed, before)
    weight.data = torch.zeros(100)
    assert torch.equal(bank.get("w", weight, shared()), shared().apply("w", torch.zeros(100)))
    assert (len(bank), bank.bytes) == (1, 400)
    # Another parameter of the same name, perhaps where a dead one was.
    for value in range(20):
        other = nn.Parameter(torch.full((100,), float(value)))
        assert torch.equal(bank.get("w", other, shared()), shared().apply("w", other.detach()))
        del other


def test_perturbing_what_is_perturbed_does_not_use_the_bank():
    weight = nn.Parameter(torch.ones(100))
    for draw in range(5):
        outer, inner = shared(draw, remember=False), shared(9)
        with perturbed({"w": weight}, outer), perturbed({"w": weight}, inner):
            assert torch.equal(weight, inner.apply("w", outer.apply("w", torch.ones(100))))
    entries = len(BANK)
    with perturbed({"w": weight}, shared(9)), perturbed({"w": weight}, shared(9)):
        assert len(BANK) == entries + 1
    assert torch.equal(weight, torch.ones(100))
