"""The conformance suite of measures."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import pytest
import torch
from pydantic import create_model
from torch import nn

from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.device import Compute
from lowland.core.errors import DataError
from lowland.core.genotype import Genotype
from lowland.core.registry import MEASURES
from lowland.measures import Measure, Score, expression
from lowland.measures.combined import parts_of
from lowland.testing.tiny import Case, case

OF_SCORED = {"images", "batch_size"}
"""What a measure declares in `needs` where it looks at images of the search split."""

OF_CALIBRATION = {"calibration_images"}
"""What it declares where it looks at training images."""

OTHER_VALUES: dict[str, Any] = {
    "images": 7,
    "batch_size": 7,
    "calibration": "batch",
    "calibration_images": 7,
    "draws": 7,
    "noise": "independent",
    "noise_images": 7,
    "antithetic": True,
    "position": "cells",
    "hessian_images": 7,
    "untrained_channels": 7,
    "untrained_cells": 7,
    "untrained_batch": 7,
}
"""Another value than the default for every shared setting that may decide a score."""

trained = cache(case)
"""A trained supernet that tests must leave as it is: (name of the space, precision) → `Case`."""


class MeasureSuite:
    """Every promise of `Measure`, as tests of one measure or of a sum.

        class TestMine(MeasureSuite):
            name = "mine"

    What it looks at is taken from its `needs`, which are tested to be true.

    Attributes:
        name: A measure expression, such as `mine`, `mine(k=3)` or `accuracy+mine`; it must be registered when the test
            runs.
        settings: Other settings of `MeasureConfig`, such as `options`, that make it cheap.
        spaces: Spaces that it is tried on: `tiny`, in fp64, whose standalone networks cannot inherit weights, and
            registered ones, in fp32.
        exact: Whether its scores have no standard error.
        repeatable: Whether the same genotype has the same score each time; a measured time has not.
        rounding: By how much a score may differ, absolutely, where activations are bf16; 5 % it may in any case.
    """

    name: ClassVar[str]
    settings: ClassVar[dict[str, Any]] = {}
    spaces: ClassVar[tuple[str, ...]] = ("tiny", "nasbench201")
    exact: ClassVar[bool] = False
    repeatable: ClassVar[bool] = True
    rounding: ClassVar[float] = 0.0

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each test that has a trained supernet runs on every space."""
        if "trained_case" in metafunc.fixturenames:
            metafunc.parametrize("trained_case", self.spaces, indirect=True, scope="class")

    @pytest.fixture(scope="class")
    @classmethod
    def trained_case(cls, request: pytest.FixtureRequest) -> Case:
        """A trained supernet with everything to score it; tests leave it as it is."""
        return trained(request.param, torch.float64 if request.param == "tiny" else torch.float32)

    @classmethod
    def config(cls, **options: Any) -> MeasureConfig:
        """The suite's settings, with others on top."""
        return MeasureConfig(name=cls.name, **{**cls.settings, **options})

    @classmethod
    def score(cls, on: Case, genotype: Genotype | None = None, **options: Any) -> Score:
        """A score by a measure made anew."""
        measure = measures.get(cls.config(**options))
        return measure.score(on.supernet, genotype or on.genotypes[0], on.context)

    @classmethod
    def looks_at(cls, what: set[str]) -> bool:
        """Whether a part declares the shared settings `what`."""
        return any(what <= set(part.needs) for part in parts_of(measures.get(cls.config())))

    # --- what it is ------------------------------------------------------------------------------------------------

    def test_states_its_name_summary_and_source(self) -> None:
        for name in expression.names(self.name):
            of = MEASURES.load(name)
            assert of.name == name
            assert of.summary
            assert "\n" not in of.summary
            assert of.source

    def test_identity_is_json_and_changes_with_every_setting_that_counts(self) -> None:
        measure = measures.get(self.config())
        text = json.dumps(measure.identity(), sort_keys=True)
        assert json.loads(text) == measure.identity()
        assert json.dumps(measures.get(self.config()).identity(), sort_keys=True) == text
        assert {"name", "combine", "options", *OTHER_VALUES} == set(MeasureConfig.model_fields)
        asked = [each.partition("=")[0].strip() for each in self.name.replace("(", ",").replace(")", ",").split(",")]
        for key, value in OTHER_VALUES.items():
            if key in asked:  # the expression itself says it, and that holds
                continue
            changed = measures.get(self.config(**{key: value})).identity() != measure.identity()
            assert changed == any(key in part.needs for part in parts_of(measure)), key
        assert measures.get(self.config(combine="rank")).identity() == measure.identity()

    def test_a_new_setting_of_another_measure_leaves_the_identity_as_it_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = measures.get(self.config()).identity()
        own = {each for name in expression.names(self.name) for each in (name, *MEASURES.load(name).uses)}
        for other, cls in measures.registered().items():
            if other not in own:
                new = create_model("Config", __base__=cls.Config, brand_new=(int, 1))
                monkeypatch.setattr(cls, "Config", new)
        assert measures.get(self.config()).identity() == before

    # --- what it leaves behind ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize("calibration", ["cumulative", "batch", "ema-14"])
    def test_leaves_the_supernet_bit_identical(self, trained_case: Case, calibration: str) -> None:
        with_noise = {"calibration": calibration, "draws": 2, "antithetic": True}
        unchanged(trained_case.supernet, lambda: self.score(trained_case, **with_noise))

    def test_leaves_the_supernet_bit_identical_after_an_exception(self, trained_case: Case) -> None:
        """A forward pass raises inside the network: while batch norms are calibrated, evaluated, and under noise."""
        passes = counted_passes(trained_case, lambda: self.score(trained_case, draws=2))
        for failing in sorted({each for each in (1, 2, 3, 5, 8, passes) if 1 <= each <= passes}):
            unchanged(trained_case.supernet, lambda failing=failing: self.fails_in_pass(trained_case, failing))

    def fails_in_pass(self, on: Case, failing: int) -> None:
        """Score with a forward pass that raises, the `failing`-th."""

        def fail(done: int) -> None:
            if done == failing:
                raise RuntimeError("out of memory, say")

        with pytest.raises(RuntimeError, match="out of memory"):
            counted_passes(on, lambda: self.score(on, draws=2), fail)

    # --- what it says ------------------------------------------------------------------------------------------------

    def test_is_deterministic_and_independent_of_order(self, trained_case: Case) -> None:
        if not self.repeatable:
            pytest.skip("what it measures is never twice the same")
        first = [self.score(trained_case, genotype) for genotype in trained_case.genotypes]
        measure = measures.get(self.config())
        for genotype, before in reversed(list(zip(trained_case.genotypes, first, strict=True))):
            assert measure.score(trained_case.supernet, genotype, trained_case.context) == before

    def test_details_are_finite_json_and_errors_are_not_negative(self, trained_case: Case) -> None:
        for genotype in trained_case.genotypes:
            found = self.score(trained_case, genotype, draws=2)
            assert json.loads(json.dumps(found.details, allow_nan=False)) == found.details
            assert math.isfinite(found.value)
            assert isinstance(found.value, float)
            assert (found.standard_error is None) == self.exact
            assert found.standard_error is None or 0 <= found.standard_error < math.inf

    def test_missing_images_are_a_data_error(self, trained_case: Case) -> None:
        measure = measures.get(self.config())
        for needed, lacking in ((OF_SCORED, "scored"), (OF_CALIBRATION, "calibration")):
            if self.looks_at(needed):
                context = replace(trained_case.context, **{lacking: []})
                with pytest.raises(DataError, match="images"):
                    measure.score(trained_case.supernet, trained_case.genotypes[0], context)

    def test_one_image_has_no_standard_error(self) -> None:
        if not self.looks_at(OF_SCORED):
            pytest.skip("it looks at no image of the search split")
        on = trained("tiny", torch.float64)
        x_NCHW, labels_N = on.context.scored[0]
        single = replace(on.context, scored=[(x_NCHW[:1], labels_N[:1])])
        found = measures.get(self.config()).score(on.supernet, on.genotypes[0], single)
        assert found.standard_error is None

    def test_reduced_precision_and_memory_format_agree_with_plain_fp32(self) -> None:
        """bf16 activations and NHWC weights: the same weights and noise, so the same score up to rounding."""
        if not self.repeatable:
            pytest.skip("what it measures is never twice the same")
        plain = trained("nasbench201", torch.float32)
        fast = Compute(device=torch.device("cpu"), autocast_dtype=torch.bfloat16, channels_last=True)
        supernet = fast.prepare(copy.deepcopy(plain.supernet))
        context = replace(
            plain.context,
            compute=fast,
            scored=[(fast.place(x_NCHW), labels_N) for x_NCHW, labels_N in plain.context.scored],
            calibration=[(fast.place(x_NCHW), labels_N) for x_NCHW, labels_N in plain.context.calibration],
        )
        found = measures.get(self.config()).score(supernet, plain.genotypes[0], context)
        assert found.value == pytest.approx(self.score(plain).value, rel=0.05, abs=self.rounding)

    @pytest.mark.parametrize(
        "options",
        [{}, {"draws": 2, "noise": "independent", "antithetic": True, "position": "cells", "noise_images": 20}],
        ids=["defaults", "all kinds of noise"],
    )
    def test_reads_only_the_settings_it_declares(self, options: dict[str, Any]) -> None:
        """What is read decides scores, so it must be part of their identity (`SharedSettings` refuses the rest)."""
        on = trained("nasbench201", torch.float32)
        for term in expression.terms(self.config(**options)):
            seen, asked = set[str](), set[str]()
            context = replace(
                on.context,
                scored=Watched(on.context.scored, seen, "scored"),
                calibration=Watched(on.context.calibration, seen, "calibration"),
            )
            measure: Measure = MEASURES.load(term.name)(watched_options(asked, term.config))
            measure.score(on.supernet, on.genotypes[0], context)
            assert asked <= {term.name, *measure.uses}
            assert ("scored" in seen) <= (set(measure.needs) >= OF_SCORED)
            assert ("calibration" in seen) <= (set(measure.needs) >= OF_CALIBRATION)


def unchanged(module: nn.Module, action: Callable[[], object]) -> None:
    """Assert that `action` leaves every value, gradient, mode and place in memory of a module as it was."""
    before, values = snapshot(module), {name: value.clone() for name, value in module.state_dict().items()}
    action()
    assert snapshot(module) == before
    assert all(torch.equal(value, values[name]) for name, value in module.state_dict().items())


def snapshot(module: nn.Module) -> list[object]:
    """What of a module is not in its values."""
    return [
        *((name, value.data_ptr(), value.stride(), value.dtype) for name, value in module.state_dict().items()),
        *((name, child.training, getattr(child, "momentum", None)) for name, child in module.named_modules()),
        *((name, p.requires_grad, p.grad is None, p._version) for name, p in module.named_parameters()),
    ]


def counted_passes(on: Case, action: Callable[[], object], look: Callable[[int], None] = lambda done: None) -> int:
    """Forward passes of the supernet during `action`, counted by the stem's batch norm; `look` hears of each."""
    passes = 0

    def count(module: nn.Module, arguments: object) -> None:
        nonlocal passes
        passes += 1
        look(passes)

    first = next(module for module in on.supernet.modules() if isinstance(module, nn.BatchNorm2d))
    handle = first.register_forward_pre_hook(count)
    try:
        action()
    finally:
        handle.remove()
    return passes


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
