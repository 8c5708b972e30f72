"""FlatNAS's figure of merit: the formula, its scale k, and that k is one for all candidates."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowland import measures
from lowland.core.errors import ConfigError, NotFiniteError
from lowland.core.seeds import numpy_rng
from lowland.measures.noise import flatnas
from lowland.measures.noise.flatnas import SCALE_GENOTYPES, figure_of_merit, scale
from lowland.measures.noise.robustness import robustness_of
from lowland.spaces.single import Single
from lowland.testing.tiny import SHAPE, Case, TinyNetwork, case, measure_config

NOISE = {"sigma": 0.4, "draws": 3}


@pytest.fixture(scope="module")
def trained() -> Case:
    return case()


def measure(name: str = "flatnas", **options: object) -> measures.Measure:
    return measures.get(measure_config(name, options={"robustness": NOISE}, **options))


def test_the_formula_by_hand():
    assert figure_of_merit(20.0, 2.0, 0.5, 10.0) == 20.0
    assert figure_of_merit(20.0, 2.0, 1.0, 10.0) == 20.0
    assert figure_of_merit(20.0, 2.0, 0.0, 10.0) == 20.0
    assert figure_of_merit(10.0, 3.0, 0.9, 5.0) == pytest.approx(9.0 + 1.5)


@given(st.lists(st.tuples(st.floats(1, 99), st.floats(0.1, 50)), min_size=1), st.floats(0, 1))
def test_with_k_the_mean_merit_is_the_mean_error_at_any_alpha(pairs: list[tuple[float, float]], alpha: float):
    errs, Rs = zip(*pairs, strict=True)
    k = scale(errs, Rs)
    mean = math.fsum(figure_of_merit(err, R, alpha, k) for err, R in pairs) / len(pairs)
    assert mean == pytest.approx(math.fsum(errs) / len(errs))


@pytest.mark.parametrize(
    ("errs", "Rs"), [([], []), ([1.0], []), ([1.0], [0.0]), ([0.0], [1.0]), ([float("nan")], [1.0])]
)
def test_a_scale_that_is_no_positive_number_is_a_config_error(errs: list[float], Rs: list[float]):
    with pytest.raises(ConfigError, match="k of flatnas"):
        scale(errs, Rs)


def test_score_is_minus_the_merit_of_error_and_robustness(trained: Case):
    for genotype in trained.genotypes:
        found = measure(k=3.0, alpha=0.25).score(trained.supernet, genotype, trained.context)
        R = -measure("robustness").score(trained.supernet, genotype, trained.context).value
        accuracy = measure("accuracy").score(trained.supernet, genotype, trained.context).value
        assert found.value == pytest.approx(-figure_of_merit(100 * (1 - accuracy), R, 0.25, 3.0))
        assert (found.details["k"], found.details["k_genotypes"], found.details["alpha"]) == (3.0, 0, 0.25)


def test_alpha_1_is_the_error_and_0_is_robustness_errors_included(trained: Case):
    genotype = trained.genotypes[0]
    accuracy = measure("accuracy").score(trained.supernet, genotype, trained.context)
    error = measure(alpha=1.0).score(trained.supernet, genotype, trained.context)
    assert error.value == pytest.approx(100 * (accuracy.value - 1))
    assert error.standard_error == pytest.approx(100 * accuracy.standard_error)
    robustness = measure("robustness").score(trained.supernet, genotype, trained.context)
    only = measure(alpha=0.0, k=7.0).score(trained.supernet, genotype, trained.context)
    assert only.value == pytest.approx(7 * robustness.value)
    assert only.standard_error == pytest.approx(7 * robustness.standard_error)


def test_k_is_that_of_16_random_genotypes_for_every_candidate_and_after_a_resume(trained: Case):
    rng = numpy_rng(trained.context.seed, "flatnas scale")
    drawn = [trained.space.sample(rng) for _ in range(SCALE_GENOTYPES)]
    scores = [measure("robustness").score(trained.supernet, genotype, trained.context) for genotype in drawn]
    wanted = scale([s.details["error_percent"] for s in scores], [s.details["robustness"] for s in scores])
    first = measure()
    found = [first.score(trained.supernet, genotype, trained.context) for genotype in trained.genotypes]
    assert [score.details["k"] for score in found] == [wanted] * 3
    assert found[0].details["k_genotypes"] == SCALE_GENOTYPES
    resumed = measure().score(trained.supernet, trained.genotypes[-1], trained.context)
    assert resumed == found[-1]


def test_k_is_measured_once_per_supernet_weights_and_context(trained: Case, monkeypatch: pytest.MonkeyPatch):
    calls = 0

    def counted(*args: object) -> object:
        nonlocal calls
        calls += 1
        return robustness_of(*args)

    monkeypatch.setattr(flatnas, "robustness_of", counted)
    own, judge = case(), measure()
    for genotype in own.genotypes:
        judge.score(own.supernet, genotype, own.context)
    assert calls == SCALE_GENOTYPES + 3
    with torch.no_grad():
        own.supernet.head.weight.mul_(1.0)
    judge.score(own.supernet, own.genotypes[0], own.context)
    assert calls == 2 * SCALE_GENOTYPES + 4
    judge.score(own.supernet, own.genotypes[0], replace(own.context, seed=3))
    assert calls == 3 * SCALE_GENOTYPES + 5


def test_genotypes_that_cannot_be_judged_are_left_out_of_k(trained: Case, monkeypatch: pytest.MonkeyPatch):
    calls = 0

    def failing(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls in (2, 5):
            raise NotFiniteError("loss is not finite at σ = 0.4")
        return robustness_of(*args)

    monkeypatch.setattr(flatnas, "robustness_of", failing)
    found = measure().score(trained.supernet, trained.genotypes[0], trained.context)
    assert found.details["k_genotypes"] == SCALE_GENOTYPES - 2


def test_nothing_changes_under_noise_is_a_config_error_that_says_what_to_do(trained: Case):
    with pytest.raises(
        ConfigError,
        match=r"mean R 0 points; raise measure\.options\.robustness\.sigma or set measure\.options\.flatnas\.k",
    ):
        measure("flatnas(sigma=1e-9)").score(trained.supernet, trained.genotypes[0], trained.context)


def test_a_single_network_needs_k(trained: Case):
    genotype = trained.genotypes[0]
    network = TinyNetwork(genotype, SHAPE).double()
    single = Single(network, genotype, SHAPE)
    with pytest.raises(ConfigError, match=r"set measure\.options\.flatnas\.k"):
        measure().score(single, genotype, trained.context)
    assert math.isfinite(measure(k=1.0).score(single, genotype, trained.context).value)


def test_a_supernet_that_extracts_its_candidates_still_has_k(trained: Case, monkeypatch: pytest.MonkeyPatch):
    """Elastic spaces give a `Single` of each candidate; k needs the other candidates too."""
    own = case()

    def extract(genotype: object) -> Single:
        network = TinyNetwork(genotype, SHAPE).double()
        network.all.load_state_dict(own.supernet.state_dict())
        return Single(network, genotype, SHAPE)

    monkeypatch.setattr(own.supernet, "at", extract)
    found = measure().score(own.supernet, own.genotypes[0], own.context)
    assert found.details["k_genotypes"] == SCALE_GENOTYPES


def test_sums_share_the_covariance_of_images(trained: Case):
    """Accuracy + F_1 is 101 times the accuracy, less 100: errors add up, not their squares."""
    genotype = trained.genotypes[0]
    accuracy = measure("accuracy").score(trained.supernet, genotype, trained.context)
    both = measure("accuracy+flatnas(alpha=1)").score(trained.supernet, genotype, trained.context)
    assert both.value == pytest.approx(101 * accuracy.value - 100)
    assert both.standard_error == pytest.approx(101 * accuracy.standard_error)
    assert both.details["flatnas(alpha=1)"]["k"] > 0
