"""Every registered measure, and sums of them, keep every promise of `Measure`."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from pydantic import create_model
from torch import nn

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.device import Compute
from lowland.core.errors import DataError
from lowland.measures import Score
from lowland.measures.untrained.untrained import UntrainedMeasure

from .tiny import Case, case

# A latency is a time, which is never twice the same, and training speed looks at training images only; they keep these
# promises, as far as they are theirs, in tests of their own.
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
FLAT_ONLY = ["adaptive_sharpness", "filter_noise", "hessian_trace", "robustness"]
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

trained = cache(case)


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


def snapshot(module: nn.Module) -> list[object]:
    return [
        *((name, value.data_ptr(), value.stride(), value.dtype) for name, value in module.state_dict().items()),
        *((name, child.training, getattr(child, "momentum", None)) for name, child in module.named_modules()),
        *((name, p.requires_grad, p.grad is None, p._version) for name, p in module.named_parameters()),
    ]


def unchanged(module: nn.Module, action: Callable[[], object]) -> None:
    before, values = snapshot(module), {name: value.clone() for name, value in module.state_dict().items()}
    action()
    assert snapshot(module) == before
    assert all(torch.equal(value, values[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("name", SINGLE)
def test_states_its_name_summary_and_source(name: str):
    cls = measures.registered()[name]
    assert cls.name == name
    assert cls.summary
    assert "\n" not in cls.summary
    assert "et al." in cls.source


@on_spaces(NAMES)
@pytest.mark.parametrize("calibration", ["cumulative", "batch", "ema-14"])
def test_leaves_the_supernet_bit_identical(shared: Case, name: str, calibration: str):
    unchanged(shared.supernet, lambda: score(shared, name, calibration=calibration, draws=2, antithetic=True))


def fails_in_pass(case: Case, name: str, failing: int) -> None:
    """Score with a forward pass that raises inside the network; the stem's batch norm counts the passes."""
    passes = 0

    def fail(module: nn.Module, args: object) -> None:
        nonlocal passes
        passes += 1
        if passes == failing:
            raise RuntimeError("out of memory, say")

    first = next(module for module in case.supernet.modules() if isinstance(module, nn.BatchNorm2d))
    handle = first.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            score(case, name, draws=2)
    finally:
        handle.remove()


@on_spaces(LOOKS_AT_IMAGES)
@pytest.mark.parametrize("failing", [2, 5], ids=["calibrating", "evaluating"])
def test_leaves_the_supernet_bit_identical_after_an_exception(shared: Case, name: str, failing: int):
    unchanged(shared.supernet, lambda: fails_in_pass(shared, name, failing))


@on_spaces(NOISY)
def test_leaves_the_supernet_bit_identical_after_an_exception_under_noise(shared: Case, name: str):
    unchanged(shared.supernet, lambda: fails_in_pass(shared, name, 3 if name == BY_BATCH else 8))


@on_spaces(NAMES)
def test_is_deterministic_and_independent_of_order(shared: Case, name: str):
    first = [score(shared, name, genotype) for genotype in shared.genotypes]
    measure = measures.get(settings(name))
    for genotype, before in reversed(list(zip(shared.genotypes, first, strict=True))):
        assert measure.score(shared.supernet, genotype, shared.context) == before


@on_spaces(NAMES)
def test_details_are_finite_json_and_errors_are_not_negative(shared: Case, name: str):
    for genotype in shared.genotypes:
        found = score(shared, name, genotype, draws=2)
        assert json.loads(json.dumps(found.details, allow_nan=False)) == found.details
        assert math.isfinite(found.value)
        assert isinstance(found.value, float)
        assert (found.standard_error is None) == (name in EXACT)
        assert found.standard_error is None or 0 <= found.standard_error < math.inf


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


@on_spaces(LOOKS_AT_IMAGES)
def test_missing_images_are_a_data_error(shared: Case, name: str):
    measure = measures.get(settings(name))
    for lacking in ("scored",) if name == BY_BATCH else ("scored", "calibration"):
        with pytest.raises(DataError, match="images"):
            measure.score(shared.supernet, shared.genotypes[0], replace(shared.context, **{lacking: []}))


@pytest.mark.parametrize("name", LOOKS_AT_IMAGES)
def test_one_image_has_no_standard_error(name: str):
    shared = trained("tiny", torch.float64)
    x, labels = shared.context.scored[0]
    single = replace(shared.context, scored=[(x[:1], labels[:1])])
    found = measures.get(settings(name)).score(shared.supernet, shared.genotypes[0], single)
    assert found.standard_error is None


@pytest.mark.parametrize("name", NAMES)
def test_reduced_precision_and_memory_format_agree_with_plain_fp32(name: str):
    """bf16 activations and NHWC weights: the same weights and noise, so the same score up to rounding."""
    plain = trained("nasbench201", torch.float32)
    fast = Compute(device=torch.device("cpu"), autocast_dtype=torch.bfloat16, channels_last=True)
    supernet = fast.prepare(copy.deepcopy(plain.supernet))
    context = replace(
        plain.context,
        compute=fast,
        scored=[(fast.place(x), labels) for x, labels in plain.context.scored],
        calibration=[(fast.place(x), labels) for x, labels in plain.context.calibration],
    )
    found = measures.get(settings(name)).score(supernet, plain.genotypes[0], context)
    wanted = score(plain, name)
    assert found.value == pytest.approx(wanted.value, rel=0.05, abs=ROUNDING.get(name, 0.0))


# --- settings ------------------------------------------------------------------------------------------------------

EVERY = sorted(measures.registered())
OF_SCORED = {"images", "batch_size"}
OF_CALIBRATION = {"calibration_images"}


class Watched(list):
    """Batches that note that they were looked at."""

    def __init__(self, batches: Any, seen: set[str], what: str) -> None:
        super().__init__(batches)
        self.seen, self.what = seen, what

    def __iter__(self) -> Any:
        self.seen.add(self.what)
        return super().__iter__()

    def __getitem__(self, index: Any) -> Any:
        self.seen.add(self.what)
        return super().__getitem__(index)


def watched_options(seen: set[str], config: MeasureConfig) -> MeasureConfig:
    """The settings, noting of which measures the own ones are looked up."""

    class Noted(dict):
        def get(self, name: str, default: Any = None) -> Any:
            seen.add(name)
            return super().get(name, default)

    return config.model_copy(update={"options": Noted(config.options)})


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"draws": 2, "noise": "independent", "antithetic": True, "position": "cells", "noise_images": 20},
        {"options": {**FEW["options"], "flatness": {"direction": "hessian", "hessian_vectors": 2}}, "draws": 2},
    ],
    ids=["defaults", "all kinds of noise", "hessian"],
)
def test_reads_only_the_settings_it_declares(name: str, options: dict[str, Any]) -> None:
    """A setting that is read decides scores, so it must be part of their identity (`SharedSettings` refuses others)."""
    shared, seen, asked = trained("nasbench201", torch.float32), set[str](), set[str]()
    context = replace(
        shared.context,
        scored=Watched(shared.context.scored, seen, "scored"),
        calibration=Watched(shared.context.calibration, seen, "calibration"),
    )
    measure = measures.registered()[name](watched_options(asked, settings(name, **options)))
    measure.score(shared.supernet, shared.genotypes[0], context)
    assert asked <= {name, *measure.uses}
    assert ("scored" in seen) <= (set(measure.needs) >= OF_SCORED)
    assert ("calibration" in seen) <= (set(measure.needs) >= OF_CALIBRATION)


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


@pytest.mark.parametrize("name", [*EVERY, *SUMS])
def test_identity_is_json_and_changes_with_every_setting_that_counts(name: str) -> None:
    measure = measures.get(settings(name))
    text = json.dumps(measure.identity(), sort_keys=True)
    assert json.loads(text) == measure.identity()
    assert json.dumps(measures.get(settings(name)).identity(), sort_keys=True) == text
    others = {"images": 7, "batch_size": 7, "calibration": "batch", "calibration_images": 7, "draws": 7,
              "noise": "independent", "noise_images": 7, "antithetic": True, "position": "cells", "hessian_images": 7,
              "untrained_channels": 7, "untrained_cells": 7, "untrained_batch": 7}  # fmt: skip
    assert {"name", "combine", "options", *others} == set(MeasureConfig.model_fields)
    for key, value in others.items():
        changed = measures.get(settings(name, **{key: value})).identity() != measure.identity()
        parts = measure.parts if isinstance(measure, measures.Combined) else [(name, measure)]
        assert changed == any(key in part.needs for _, part in parts), key
    assert measures.get(settings(name, combine="rank")).identity() == measure.identity()


@pytest.mark.parametrize("name", EVERY)
def test_a_new_setting_of_another_measure_leaves_the_identity_as_it_is(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = measures.get(settings(name)).identity()
    for other, cls in measures.registered().items():
        if other != name and other not in measures.registered()[name].uses:
            new = create_model("Config", __base__=cls.Config, brand_new=(int, 1))
            monkeypatch.setattr(cls, "Config", new)
    assert measures.get(settings(name)).identity() == before


def test_flatnas_follows_the_settings_of_robustness() -> None:
    first, second = (measures.get(settings("flatnas", options={"robustness": {"draws": n}})) for n in (2, 3))
    assert first.identity() != second.identity()
    assert first.identity()["uses"] == {"robustness": {"sigma": 0.05, "draws": 2}}
    written = measures.get(MeasureConfig(name="flatnas(draws=2)"))
    assert written.identity() == first.identity()
