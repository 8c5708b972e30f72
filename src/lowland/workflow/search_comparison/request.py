"""What searches are to be compared with what settings, checked before anything is computed."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.core.settings import merge
from lowland.evaluation.ranking.truth import TRUTH_COLUMN
from lowland.workflow.presets import assemble
from lowland.workflow.search_comparison.configurations import COMMON, SIZE, Configuration, configuration

SUITES = ("classification", "corruptions")
"""How networks that are trained can be judged; on clean test images they always are."""

JUDGE = "judge"
"""Folder of the run whose supernet judges all networks."""

JUDGE_SEED = 1000
"""What the judge's seed is above the first search's, so that no search has it."""

RESERVED = (JUDGE, "networks", "judging")


@dataclass(frozen=True, kw_only=True)
class SearchesRequest:
    """Searches to compare.

    Attributes:
        searchers: Names as `configurations.configuration` takes them.
        seeds: Runs of each.
        truth: CSV file of accuracies, in place of trainings; None: every network found is trained.
        truth_column: Its column.
        suites: How trained networks are judged; None: all ways.
    """

    searchers: tuple[str, ...]
    seeds: int = 3
    truth: Path | None = None
    truth_column: str = TRUTH_COLUMN
    suites: tuple[str, ...] | None = None

    def checked(self) -> list[Configuration]:
        """Look up the searches.

        Returns:
            One for each name.

        Raises:
            ConfigError: there are none, one is unknown or named twice, or another value is out of range.
        """
        if not self.searchers:
            raise ConfigError("--searchers names no search; give some, such as --searchers darts,spos,genas,random")
        twice = [name for name, count in Counter(self.searchers).items() if count > 1]
        if twice:
            raise ConfigError(
                f"--searchers names {twice[0]} twice; name each once (--seeds says how often each is run)"
            )
        if self.seeds < 1:
            raise ConfigError(f"--seeds {self.seeds} must be at least 1")
        if self.truth is not None and self.suites is not None:
            raise ConfigError("--truth looks accuracies up and trains nothing that --suites could judge; leave one out")
        for name in self.suites or ():
            if name not in SUITES:
                near = difflib.get_close_matches(name, SUITES, n=1)
                guess = f" (did you mean {near[0]}?)" if near else ""
                raise ConfigError(f"--suites {name!r}{guess} cannot be compared; choose of {', '.join(SUITES)}")
        found = [configuration(name) for name in self.searchers]
        taken = next((name for name in self.searchers if name in RESERVED), None)
        if taken is not None:
            raise ConfigError(f"a search called {taken} would share its folder with something else; register it anew")
        return found


def settings(each: Configuration, layers: Sequence[dict[str, Any]], seed: int | None = None) -> Config:
    """The settings of one search: its own below a person's, so that what a person sets prevails.

    Args:
        each: The search.
        layers: A person's settings, weakest first.
        seed: Of the run; None: the person's, or the default.

    Returns:
        Checked settings.

    Raises:
        ConfigError: a setting is wrong, or the search does not go with the preset.
    """
    asked: dict[str, Any] = {}
    for layer in layers:
        asked = merge(asked, layer)
    own = merge(dict(SIZE), dict(each.values))
    preset = asked.get("preset", "quick")
    if each.preset and preset != each.preset:
        if preset == "quick":
            asked = asked | {"preset": each.preset}
        elif not (preset == "paper" and str(asked.get("space", "")).startswith("mobilenetv3")):
            raise ConfigError(
                f"search {each.name} is the preset {each.preset}, or paper in space mobilenetv3, and was asked for "
                f"with --preset {preset}; leave one of the two out"
            )
    if each.preset:
        asked = merge({"space": Config().space}, asked)  # the others' space, not the preset's own
    final = {} if seed is None else {"seed": seed}
    return assemble(own, asked, final)


def judge_settings(layers: Sequence[dict[str, Any]]) -> Config:
    """The settings of the run whose supernet judges all networks: a one-shot supernet of a seed that no search has."""
    return settings(COMMON, layers, settings(COMMON, layers).seed + JUDGE_SEED)
