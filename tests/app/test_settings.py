"""Every setting can be seen: default, value under a preset, and what it means."""

from __future__ import annotations

import json

import pytest

from lowland.app.described import described
from lowland.core.config import Config
from lowland.core.registry import REGISTRIES
from lowland.core.settings import known_keys
from lowland.workflow.presets import assemble
from whole_runs import Command


def test_every_setting_says_what_it_means() -> None:
    modules = {entry.name for registry in REGISTRIES for entry in registry.built_in()}
    silent = [each.key.split(".") for each in described(assemble()) if not each.description]
    assert [key for key in silent if len(key) < 4 or key[2] in modules] == []  # but for plugins of other tests


def test_what_listings_read_from_source_text_says_what_it_means() -> None:
    settings = [(e.name, s) for registry in REGISTRIES for e in registry.built_in() for s in e.settings]
    assert [f"{name}.{setting.name}" for name, setting in settings if not setting.description] == []


def test_no_setting_is_left_out() -> None:
    keys = [each.key for each in described(assemble())]
    assert len(keys) == len(set(keys))
    own = {key for key in known_keys(Config) if not key.endswith(".options")}
    assert own <= {*keys}
    assert {"measure.options.flatness.sigmas", "search.options.pareto.objectives"} <= {*keys}
    assert [key for key in keys if key.endswith(".options")] == []


def test_default_and_value_under_preset_and_space_stand_side_by_side(lowland: Command) -> None:
    told = lowland("settings", "retrain", "--preset", "paper", "--space", "darts").out
    assert "  retrain.epochs = 600  (default 20)\n" in told
    assert "  retrain.sam_rho = null\n      radius of sharpness-aware steps" in told
    assert "supernet.epochs" not in told


def test_the_table_as_json(lowland: Command) -> None:
    found = json.loads(lowland("settings", "--json", "--set", "measure.options.flatness.alpha=0.5").out)
    assert list(found) == ["preset", "space", "settings"]
    assert all(list(row) == ["key", "default", "value", "description"] for row in found["settings"])
    rows = {row["key"]: row for row in found["settings"]}
    assert (rows["measure.options.flatness.alpha"]["default"], rows["measure.options.flatness.alpha"]["value"]) == (
        1,
        0.5,
    )


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ("measure.options.robustness", {"measure.options.robustness.sigma", "measure.options.robustness.draws"}),
        ("seed", {"seed"}),
        ("data.fit", {"data.fit"}),
    ],
)
def test_a_part_of_the_table(asked: str, keys: set[str]) -> None:
    assert {each.key for each in described(assemble(), asked)} == keys


def test_a_section_that_does_not_exist(lowland: Command) -> None:
    assert lowland("settings", "retrian").fault == "there is no section or setting 'retrian'; did you mean retrain?"
