"""Settings that have a new place."""

from __future__ import annotations

from typing import Any

import pytest

from lowland.core.config import Config, build
from lowland.core.errors import ConfigError
from lowland.core.moved import MOVED, in_new_places, new_place
from lowland.core.settings import known_keys, nested


def gone() -> list[str]:
    """Keys of the table that `Config` no longer has."""
    return [key for key in MOVED if key not in known_keys(Config)]


@pytest.mark.parametrize("key", gone())
def test_an_old_key_is_refused_with_its_new_place(key: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(nested(key, 1))
    assert str(error.value) == f"setting {key} is now {new_place(key)}"


def test_the_new_place_of_a_key() -> None:
    assert new_place("measure.robustness_sigma") == "measure.options.robustness.sigma"
    assert new_place("measure.name") is None


def test_old_settings_in_new_places() -> None:
    old: dict[str, Any] = {"seed": 3, "measure": {"name": "robustness", "robustness_sigma": 0.1, "sigmas": [1, 2]}}
    new = in_new_places(old)
    assert new == {
        "seed": 3,
        "measure": {"name": "robustness", "options": {"robustness": {"sigma": 0.1}, "flatness": {"sigmas": [1, 2]}}},
    }
    assert in_new_places(new) == new
    assert old["measure"]["robustness_sigma"] == 0.1, "what was given stays as it was"


def test_a_key_that_two_members_have_goes_to_both() -> None:
    new = in_new_places({"search": {"mutation_probability": 0.2}})
    assert new == {
        "search": {"options": {name: {"mutation_probability": 0.2} for name in ("evolution", "pareto")}},
    }


def test_what_is_no_section_is_left_alone() -> None:
    assert in_new_places({"measure": 5}) == {"measure": 5}
    assert in_new_places({"measure": {"options": 5, "alpha": 1.0}}) == {"measure": {"options": 5}}
