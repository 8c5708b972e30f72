"""Options of the measures that a run asks: complete, checked, and refused in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from lowland.core.errors import ConfigError
from lowland.core.registry import MEASURES
from lowland.workflow import presets
from lowland.workflow.presets import assemble


@pytest.mark.parametrize(
    ("values", "measures"),
    [
        # The preset sets angle and flatness, and promotes designs by the last two.
        ({"measure": {"name": "accuracy"}}, {"accuracy", "angle", "flatness", "loss", "perturbed_accuracy"}),
        ({"measure": {"name": "flatnas"}, "preset": "paper"}, {"flatnas", "robustness"}),
        ({"search": {"shortlist": 3}, "preset": "paper"}, {"angle", "flatness", "perturbed_accuracy"}),
        (
            {
                "search": {
                    "strategy": "pareto",
                    "options": {"pareto": {"objectives": ["error", "flatnas", "macs"]}},
                },
                "preset": "paper",
            },
            {"accuracy", "angle", "flatness", "flatnas", "robustness", "macs"},
        ),
    ],
)
def test_options_of_every_measure_asked_are_complete(values: dict[str, Any], measures: set[str]) -> None:
    """So that a run does not depend on later changes of defaults."""
    options = assemble(values).measure.options
    assert set(options) == measures
    for name, own in options.items():
        assert own == MEASURES.load(name).Config(**own).model_dump(mode="json")


def test_completing_twice_changes_nothing() -> None:
    config = assemble({"preset": "flatnas"})
    assert presets.complete(config) == config


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"flatnes": {}}, "setting measure.options.flatnes: unknown measure 'flatnes' (did you mean flatness?)"),
        (
            {"flatness": {"alpa": 1}},
            "unknown setting 'measure.options.flatness.alpa'; did you mean 'measure.options.fl",
        ),
        ({"flatness": {"alpha": -1}}, "setting measure.options.flatness.alpha=-1: input should be greater than"),
        ({"flatness": {"sigmas": [2, 1]}}, "setting measure.options.flatness: sigmas must be at least two increasing"),
        ({"flatness": {"sigmas": [1, "x"]}}, "setting measure.options.flatness.sigmas='x': input should be a valid n"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        assemble({"measure": {"options": options}})
    assert str(caught.value).startswith(sentence)
