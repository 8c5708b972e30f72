from __future__ import annotations

import json

import numpy as np
import pytest

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.files import plain
from lowland.core.genotype import Genotype
from lowland.measures.noise.flatnas import figure_of_merit, scale
from lowland.measures.noise.robustness import Robustness
from lowland.search import Candidate, parse_objectives
from lowland.testing.tiny import case

CONFIG = MeasureConfig()


def parse(*texts, **options):
    return parse_objectives(texts, MeasureConfig(**options))


def candidate(details=None, value=0.0, parameters=100, macs=1000, **rest) -> Candidate:
    return Candidate(
        genotype=Genotype("toy", (0,)), key="", measure="m", generation=0, origin="random",
        status="scored" if value is not None else "failed", value=value, details=details or {},
        parameters=parameters, macs=macs, **rest,
    )  # fmt: skip


def measured(accuracy, r, accuracy_se=0.01, r_se=0.2, **rest) -> Candidate:
    """As the archive keeps accuracy+robustness."""
    details = {
        "accuracy": {"value": accuracy, "standard_error": accuracy_se, "weight": 1.0},
        "robustness": {"value": -r, "standard_error": r_se, "weight": 1.0},
    }
    return candidate(details, accuracy - r, **rest)


@pytest.mark.parametrize(
    ("texts", "measure", "kinds"),
    [
        (["flatnas(alpha=0.5)", "params"], "accuracy+robustness", ["flatnas", "params"]),
        (["error", "robustness", "macs"], "accuracy+robustness", ["error", "robustness", "macs"]),
        (["error", "flatnas(alpha=0.1)", "flatnas(alpha=0.9)"], "accuracy+robustness", ["error", "flatnas", "flatnas"]),
        (["error", "parameters"], "accuracy", ["error", "params"]),
        (["latency", "error"], "latency+accuracy", ["latency", "error"]),
        (["accuracy+flatness", "flatness", "params"], "accuracy+flatness", ["measure", "measure", "params"]),
        # One R only, though it is written in two ways.
        (["robustness(sigma=0.1)", "flatnas(alpha=0.9, sigma=1e-1)"], "robustness(sigma=0.1)+accuracy",
         ["robustness", "flatnas"]),
        (["error(calibration=batch)", "params"], 'accuracy(calibration="batch")', ["error", "params"]),
    ],
)  # fmt: skip
def test_every_part_is_measured_once(texts, measure, kinds) -> None:
    objectives = parse(*texts)
    assert objectives.measure.name == measure
    assert [each.kind for each in objectives.every] == kinds
    assert [each.exact for each in objectives.every] == [kind in ("params", "macs") for kind in kinds]


def test_settings_that_equal_the_common_ones_are_no_settings_of_their_own() -> None:
    options = {"robustness": {"sigma": 0.2}}
    assert parse("error", "robustness(sigma=0.2)", options=options).measure.name == "accuracy+robustness"
    options = {"flatnas": {"alpha": 0.5}, "robustness": {"draws": 3}}
    objectives = parse("flatnas(alpha=0.5)", "params", options=options)
    assert objectives.measure.name == "accuracy+robustness"
    assert Robustness(objectives.measure).options.draws == 3
    assert parse("flatnas", "params", options={"flatnas": {"alpha": 0.3}}).every[0].alpha == 0.3


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["flatnas(alpha=1.2)", "params"], "setting alpha=1.2.*less than or equal to 1"),
        (["flatnas(alpha=-0.1)", "params"], "setting alpha=-0.1.*greater than or equal to 0"),
        (["accuracies", "params"], "unknown objective 'accuracies'; known: accuracy, "),
        (["error", "error"], "'error' is given twice; leave one out"),
        (["params", "parameters", "error"], "'parameters' is given twice, the other time as 'params'"),
        (["accuracy+flatness", "flatness+accuracy"], "'flatness\\+accuracy' is given twice"),
        (["robustness", "robustness(sigma=0.05)"], "is given twice"),
        (["error"], "fewer than two objectives"),
        ([], "fewer than two objectives"),
        (["params", "macs"], "sizes only"),
        (["error+flatness", "params"], "error in 'error\\+flatness' is an objective of its own"),
        (["accuracy+params", "macs"], "params in .* is an objective of its own"),
        (["params(x=1)", "error"], "params"),
        (["params(sigmas=[1e-3,2e-3])", "error"], "params in .* has no settings"),
        (["accuracy+accuracy", "params"], "names a measure twice"),
        (["flatnas(alpha=0.5)", "flatnas(alpha=0.9,sigma=0.3)"], "let them differ in alpha only"),
        (["flatnas(robustness_sigma=0.3)", "params"], "cannot have a setting 'robustness_sigma'.*did you mean sigma"),
        (["error(", "params"], "brackets"),
        (["", "params"], "unknown objective ''"),
    ],
)
def test_every_wrong_objective_is_one_sentence(texts, said) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        parse(*texts)
    assert str(caught.value).startswith("search.options.pareto.objectives: ")
    assert "\n" not in str(caught.value)


def test_values_are_the_formulas() -> None:
    archive = [measured(0.9, 4.0, parameters=7), measured(0.8, 1.0, parameters=5, macs=30), measured(0.5, 7.0)]
    objectives = parse("flatnas(alpha=0.1)", "error", "robustness", "params", "macs", "flatnas(alpha=0.9)")
    k = objectives.scale(archive)
    assert k == pytest.approx((10 + 20 + 50) / (4 + 1 + 7))
    assert k == pytest.approx(scale([10, 20, 50], [4, 1, 7]))
    values = objectives.values(archive, k)
    errs, rs = np.array([10.0, 20.0, 50.0]), np.array([4.0, 1.0, 7.0])
    np.testing.assert_allclose(values[:, 0], 0.1 * errs + k * 0.9 * rs)
    np.testing.assert_allclose(values[:, 5], [figure_of_merit(e, r, 0.9, k) for e, r in zip(errs, rs, strict=True)])
    np.testing.assert_allclose(values[:, 1:5], np.stack([errs, rs, [7, 5, 100], [1000, 30, 1000]], axis=1))


def test_standard_errors_are_in_the_unit_of_the_objective() -> None:
    one = measured(0.9, 4.0, accuracy_se=0.01, r_se=0.2)
    objectives = parse("error", "robustness", "params", "flatnas(alpha=0.25)")
    (errors,) = objectives.standard_errors([one], k=2.0)
    assert errors == pytest.approx([1.0, 0.2, 0.0, np.hypot(0.25 * 1.0, 2.0 * 0.75 * 0.2)])
    (unknown,) = objectives.standard_errors([measured(0.9, 4.0, r_se=None)], k=2.0)
    assert unknown == [pytest.approx(1.0), None, 0.0, None]


def test_a_single_measure_is_the_value_itself() -> None:
    assert parse("error", "params").values([candidate(value=0.75)], None).tolist() == [[25.0, 100.0]]
    assert parse("flatness", "params").values([candidate(value=-3.0)], None).tolist() == [[3.0, 100.0]]
    assert parse("latency", "params").values([candidate(value=-12.5)], None).tolist() == [[12.5, 100.0]]


def test_a_sum_weighs_its_parts_as_the_measure_does() -> None:
    details = {
        "accuracy": {"value": 0.5, "standard_error": 0.1, "weight": 1.0},
        "flatness": {"value": -2.0, "standard_error": 0.3, "weight": 8.0},
    }
    objectives = parse("accuracy+flatness", "flatness", "error")
    values = objectives.values([candidate(details, -15.5)], None)
    assert values.tolist() == [[15.5, 2.0, 50.0]]
    assert objectives.standard_errors([candidate(details)], None)[0] == pytest.approx([np.hypot(0.1, 2.4), 0.3, 10.0])


def test_a_failed_candidate_never_gets_a_value() -> None:
    """Fault 6 of the public code: a failed candidate scored 0, which is perfect when minimising."""
    with pytest.raises(ValueError, match="failed candidate"):
        parse("error", "params").values([candidate(value=0.5), candidate(value=None)], None)


def test_figures_of_merit_need_a_k() -> None:
    with pytest.raises(ValueError, match="needs the scale k"):
        parse("flatnas(alpha=0.5)", "params").values([measured(0.5, 1.0)], None)


def test_k_may_be_fixed_and_is_absent_where_nothing_needs_it() -> None:
    archive = [measured(0.9, 4.0)]
    assert parse("flatnas", "params", options={"flatnas": {"k": 3.0}}).scale(archive) == 3.0
    assert parse("flatnas(k=3)", "params").scale(archive) == 3.0
    assert parse("error", "robustness").scale(archive) is None
    with pytest.raises(ConfigError, match="k of flatnas"):
        parse("flatnas", "params").scale([measured(0.9, 0.0)])


def test_parts_of_a_real_measurement_are_read_back_from_the_archive() -> None:
    """The labels of the expression are those that the sum keeps, also after JSON."""
    trained = case("tiny")
    texts = ("flatnas(alpha=0.25, sigma=0.3, draws=4)", "accuracy+flatness(draws=2)", "latency",
             "error", "macs")  # fmt: skip
    objectives = parse(*texts)
    found = measures.get(objectives.measure).score(trained.supernet, trained.genotypes[0], trained.context)
    kept = candidate(json.loads(json.dumps(plain(found.details))), found.value)
    values = dict(zip(texts, objectives.values([kept], 2.0)[0], strict=True))

    def alone(name):
        config = MeasureConfig(name=name)
        return measures.get(config).score(trained.supernet, trained.genotypes[0], trained.context).value

    error, r = 100 * (1 - alone("accuracy")), -alone("robustness(sigma=0.3,draws=4)")
    assert values["error"] == pytest.approx(error)
    assert values[texts[0]] == pytest.approx(0.25 * error + 2.0 * 0.75 * r)
    assert values[texts[1]] == pytest.approx(-alone(texts[1]))
    assert values["latency"] > 0
