"""Every registered measure, and sums of them, keep every promise of `Measure`."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.registry import MEASURES
from lowland.measures import Score
from lowland.measures.untrained.untrained import UntrainedMeasure
from lowland.testing import MeasureSuite
from lowland.testing.measures import counted_passes, trained
from lowland.testing.tiny import Case

# A latency is a time, which is never twice the same, and training speed looks at training images only; what is asked of
# the others below they are asked in tests of their own.
SINGLE = [name for name in measures.registered() if name not in ("latency", "training_speed")]
UNTRAINED = [name for name, cls in measures.registered().items() if issubclass(cls, UntrainedMeasure)]
SUMS = [
    "angle+flatness",
    "accuracy+flatness",
    "loss+flatness",
    "accuracy+angle",
    "accuracy+naswot",
    "accuracy+robustness",
]
CURVED = "flatness(direction=hessian, sigmas=[1e-4, 5e-4, 1e-3])"
NAMES = [*SINGLE, CURVED, *SUMS]
EXACT = ["angle", *UNTRAINED]
SEEDED = [name for name in UNTRAINED if name not in ("parameters", "macs")]
LOOKS_AT_IMAGES = [name for name in NAMES if name not in EXACT]
OTHER_NOISE = ["adaptive_sharpness", "filter_noise", "flatnas", "perturbed_loss", "robustness", "accuracy+robustness"]
# Its batch norms go by the batch they see, so it needs no calibration, and the size of batches counts.
BY_BATCH = "perturbed_accuracy"
NOISY = [name for name in NAMES if name != CURVED and ("flatness" in name or name in [*OTHER_NOISE, BY_BATCH])]
# What is flat around the weights says nothing of how good they are: a network that guesses is flat everywhere.
FLAT_ONLY = ["adaptive_sharpness", "filter_noise", "hessian_trace", "robustness", "top_eigenvalue"]
# Whole images change sides where activations are rounded, and differences of losses keep the error of either.
ROUNDING = {
    "flatnas": 5.0,
    "robustness": 5.0,
    "perturbed_accuracy": 0.1,
    "accuracy+robustness": 5.0,
    "adaptive_sharpness": 0.02,
    "filter_noise": 0.02,
}
FEW: dict[str, Any] = {
    "options": {
        "flatnas": {"alpha": 0.9, "k": 5.0},
        "robustness": {"draws": 5, "sigma": 0.3},
        "hessian_trace": {"draws": 2},
    },
    "hessian_images": 30,
}
"""Settings that make measures of many evaluations cheap enough to be scored hundreds of times."""


def suite(name: str) -> type[MeasureSuite]:
    """The suite of one measure: single ones on both spaces, sums on the tiny one, the published sum on DARTS too."""
    spaces = ("tiny", "nasbench201") if name in EVERY or name == CURVED else ("tiny",)
    if name == "training_speed":  # a standalone network of the tiny space cannot inherit weights
        spaces = ("nasbench201",)
    traits = {
        "name": name,
        "settings": FEW,
        "spaces": (*spaces, "darts") if name == "angle+flatness" else spaces,
        "exact": name in EXACT,
        "repeatable": name != "latency",
        "rounding": ROUNDING.get(name, 0.0),
    }
    return type(f"Test_{name}", (MeasureSuite,), traits)


EVERY = sorted(measures.registered())
for each in [*EVERY, CURVED, *SUMS]:
    globals()[f"Test_{each}"] = suite(each)


def test_every_built_in_measure_is_tested_here() -> None:
    tested = {case.name for case in MeasureSuite.__subclasses__()}
    assert tested >= {entry.name for entry in MEASURES.built_in()}


def settings(name: str, **options: object) -> MeasureConfig:
    return MeasureConfig(name=name, **{**FEW, **options})


def on_spaces(names: list[str]) -> pytest.MarkDecorator:
    """All measures on the tiny space, single ones on NAS-Bench-201, the published sum on DARTS."""
    pairs = [("tiny", name) for name in names]
    pairs += [("nasbench201", name) for name in names if name in SINGLE or name == CURVED]
    pairs += [("darts", "angle+flatness")]
    return pytest.mark.parametrize(("shared", "name"), pairs, indirect=["shared"])


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Case:
    """A trained supernet that tests must leave as it is."""
    return trained(request.param, torch.float64 if request.param == "tiny" else torch.float32)


def score(case: Case, name: str, genotype: Any = None, **options: object) -> Score:
    measure = measures.get(settings(name, **options))
    return measure.score(case.supernet, genotype or case.genotypes[0], case.context)


@pytest.mark.parametrize("name", SINGLE)
def test_names_the_paper_it_is_from(name: str) -> None:
    assert "et al." in MEASURES.load(name).source


@on_spaces(LOOKS_AT_IMAGES)
def test_runs_the_supernet_to_calibrate_and_to_evaluate(shared: Case, name: str) -> None:
    """So that the suite's exceptions are raised in either."""
    assert counted_passes(shared, lambda: score(shared, name, draws=2)) >= 5


@on_spaces(NAMES)
def test_seed_moves_noise_and_untrained_weights_only(shared: Case, name: str):
    other = replace(shared.context, seed=shared.context.seed + 1)
    measure = measures.get(settings(name, draws=5))  # an accuracy from one draw may be the same by chance
    genotype = shared.genotypes[0]
    same = (
        measure.score(shared.supernet, genotype, other).value
        == measure.score(shared.supernet, genotype, shared.context).value
    )
    if name == CURVED:
        return  # Only where its eigenvectors are begun from is drawn.
    assert same == (name not in [*NOISY, *SEEDED, "accuracy+naswot", "hessian_trace"])


@on_spaces([name for name in LOOKS_AT_IMAGES if name not in FLAT_ONLY])
def test_a_trained_network_beats_a_ruined_one(shared: Case, name: str):
    ruined = copy.deepcopy(shared)
    with torch.no_grad():
        for p in ruined.supernet.parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    # The angle rewards any turn, so it is left out of the comparison.
    part = name.replace("angle+", "").replace("+angle", "")
    assert score(shared, part).value > score(ruined, part).value


@on_spaces([name for name in LOOKS_AT_IMAGES if name != BY_BATCH])
def test_batch_sizes_do_not_matter(shared: Case, name: str):
    x = torch.cat([x for x, _ in shared.context.scored])
    labels = torch.cat([labels for _, labels in shared.context.scored])
    whole = replace(shared.context, scored=[(x, labels)])
    measure = measures.get(settings(name))
    found = measure.score(shared.supernet, shared.genotypes[0], whole)
    wanted = measure.score(shared.supernet, shared.genotypes[0], shared.context)
    assert found.value == pytest.approx(wanted.value, rel=1e-5)


def test_a_setting_that_is_read_but_not_declared_is_an_error() -> None:
    class Careless(measures.Measure):
        name, summary, source = "careless", "reads what it does not declare", "nobody et al."
        needs = ("draws",)

        def score(self, supernet: Any, genotype: Any, context: Any) -> Score:
            return Score(float(self.shared.draws + len(self.shared.position)))

    shared = trained("tiny", torch.float64)
    with pytest.raises(AttributeError, match=r"measure careless reads .* measure\.position .* add 'position' to its"):
        Careless(MeasureConfig()).score(shared.supernet, shared.genotypes[0], shared.context)
    Careless.needs = ("draw",)
    with pytest.raises(TypeError, match="'draw' in needs, which is no shared setting"):
        Careless(MeasureConfig())


def test_flatnas_follows_the_settings_of_robustness() -> None:
    first, second = (measures.get(settings("flatnas", options={"robustness": {"draws": n}})) for n in (2, 3))
    assert first.identity() != second.identity()
    assert first.identity()["uses"] == {"robustness": {"sigma": 0.05, "draws": 2}}
    written = measures.get(MeasureConfig(name="flatnas(draws=2)"))
    assert written.identity() == first.identity()
