"""The table of options: each decides a setting that there is, and the stronger word prevails."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from lowland.app.cli import app
from lowland.app.options import OPTIONS, Given, layers, takes
from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.core.registry import SEARCHERS, STRATEGIES, SUITES
from lowland.core.settings import known_keys
from lowland.workflow.presets import assemble


@pytest.mark.parametrize("name", [name for name, option in OPTIONS.items() if option.setting])
def test_an_option_decides_a_setting_that_there_is(name: str) -> None:
    known = known_keys(Config)
    for registry, path in ((SEARCHERS, "search.options"), (STRATEGIES, "search.options"), (SUITES, "evaluate.options")):
        for entry in registry.built_in():
            known += [f"{path}.{entry.name}.{setting.name}" for setting in entry.settings]
    assert OPTIONS[name].setting in known


def test_flags_are_distinct_within_a_verb_and_explained() -> None:
    """A published set is found below --data-root, be it the run's data or what its networks are judged by."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command in commands.values():
        flags = [flag for parameter in command.params for flag in parameter.opts]
        assert len(set(flags)) == len(flags), command.name
    shared = [option.flag for option in OPTIONS.values()]
    assert {flag for flag in shared if shared.count(flag) > 1} == {"--data-root"}
    for option in OPTIONS.values():
        assert option.help.endswith(".")


def test_every_option_of_the_table_is_taken_by_a_verb() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    taken = {flag for command in commands.values() for parameter in command.params for flag in parameter.opts}
    assert {option.flag for option in OPTIONS.values()} <= taken


def test_a_file_gives_way_to_options_and_options_to_set(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("seed: 1\nsupernet: {epochs: 2}\nsearch: {options: {evolution: {population: 30}}}\n")
    given = {"config": file, "seed": 3, "epochs": 4, "settings": ["supernet.epochs=5"], "max_params": "1.5k"}
    config = assemble(*layers(given))
    assert (config.seed, config.supernet.epochs, config.search.options["evolution"]["population"]) == (3, 5, 30)
    assert config.search.max_params == 1500


def test_what_was_not_given_decides_nothing() -> None:
    assert layers({"data": None, "download": False, "settings": [], "plugins": None}) == []
    assert layers({"image_size": 0}) == [{"data": {"image_size": 0}}]  # refused later, in the setting's own words


def test_an_option_brings_along_what_it_belongs_to() -> None:
    assert layers({"objectives": ["error"]}) == [
        {"search": {"strategy": "pareto"}},
        {"search": {"options": {"pareto": {"objectives": ["error"]}}}},
    ]
    with pytest.raises(ConfigError, match="--objective belongs to --strategy pareto, not random"):
        layers({"objectives": ["error"], "strategy": "random"})


def test_a_verb_is_given_the_options_it_takes_and_keeps_its_own() -> None:
    seen: list[object] = []

    @takes("seed", "download")
    def verb(given: Given, place: Path, many: int = 3) -> None:
        """What it does."""
        seen.extend([given, place, many])

    verb(place=Path("x"), seed=1, download=True, many=4)
    assert seen == [{"seed": 1, "download": True}, Path("x"), 4]
    assert verb.__doc__ == "What it does."
