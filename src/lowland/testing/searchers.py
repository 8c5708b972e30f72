"""The conformance suite of searchers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median_low
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from lowland.core.config import Config
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.registry import SEARCHERS, STRATEGIES
from lowland.data import DataSet, MemorySplit, load
from lowland.store.artifacts import SEARCH, TRAINED, Searched
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble, complete
from lowland.workflow.searchers import chosen
from lowland.workflow.session import Session

TINY: dict[str, Any] = {
    "seed": 3,
    "data": {"name": "digits", "limit": 400},
    "supernet": {"channels": 4, "cells": 1, "epochs": 2},
    "measure": {"calibration_images": 64, "images": 40},
    "search": {"finalists": 0},
    "network": {"channels": 4, "cells": 1},
    "retrain": {"epochs": 1, "batch_size": 32},
    "compute": {"threads": 1},
}
"""Settings of a run of a second or two: digits at 8 × 8, four channels."""


class SearcherSuite:
    """Every promise of `Searcher`, as tests of one of them in tiny whole runs.

        class TestMine(SearcherSuite):
            name = "mine"
            settings = {"search": {"options": {"mine": {"steps": 2}}}}

    Attributes:
        name: Of the searcher, which must be registered when the test runs.
        settings: Settings of a run, on top of `TINY`, that make a search short.
    """

    name: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}

    @classmethod
    def config(cls, *layers: dict[str, Any]) -> Config:
        """Settings of a tiny run with this searcher, others on top."""
        return assemble(TINY, dict(cls.settings), {"search": {"searcher": cls.name}}, *layers)

    @classmethod
    def run(cls, path: Path, *layers: dict[str, Any]) -> Path:
        """A run at `path`, searched."""
        pipeline.run(cls.config(*layers), path, last="search")
        return path

    @pytest.fixture(scope="class")
    @classmethod
    def whole(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A run that was searched; tests leave it as it is."""
        return cls.run(tmp_path_factory.mktemp("searcher") / "run")

    def test_registered_under_its_name(self, whole: Path) -> None:
        of = SEARCHERS.load(self.name)
        assert of.name == self.name
        assert of.summary
        assert of.source
        assert self.name not in STRATEGIES.names(), "both have their own settings in search.options"
        assert (whole / TRAINED).is_file() == of.supernet

    def test_settings_are_its_own_to_check(self) -> None:
        config = self.config()
        chosen(config.search).require(config)
        wrong = {"search": {"options": {self.name: {"nosuch": 1}}}}
        with pytest.raises(ConfigError, match=f"search.options.{self.name}.nosuch"):
            chosen(self.config(wrong).search)

    def test_ranks_different_networks_of_the_space_with_their_size(self, whole: Path) -> None:
        with Run.open(whole, read_only=True) as opened:
            session, found = Session(opened, Monitor()), Searched.read(opened)
            ranked = [Genotype(session.config.space, each.genes) for each in found.ranking]
            assert ranked
            assert len({session.space.key(each) for each in ranked}) == len(ranked)
            for genotype, each in zip(ranked, found.ranking, strict=True):
                session.space.validate(genotype)
                size = session.cost(genotype)
                assert (each.parameters, each.macs) == (size.parameters, size.macs)
                assert each.value is None or math.isfinite(each.value)
            assert found.summary["scored"] >= sum(each.value is not None for each in found.ranking)
            assert found.summary["proposed"] >= max(len(ranked), found.summary["scored"])
            assert opened.verify() == []

    @pytest.mark.parametrize("limit", ["max_params", "max_macs"])
    def test_ranks_networks_within_the_limits_or_refuses_them(self, limit: str, whole: Path, tmp_path: Path) -> None:
        size = {"max_params": "parameters", "max_macs": "macs"}[limit]
        most = median_low([each[size] for each in searched(whole)["ranking"]])
        try:
            within = self.run(tmp_path / "run", {"search": {limit: most}})
        except ConfigError:
            assert not (tmp_path / "run").exists(), "refused before anything is written"
            return
        assert all(each[size] <= most for each in searched(within)["ranking"])

    def test_a_search_is_a_function_of_its_settings(self, whole: Path, tmp_path: Path) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(99)
            again = self.run(tmp_path / "run")
        assert searched(again) == searched(whole)

    def test_a_stopped_search_is_resumed_to_the_same_end(self, whole: Path, tmp_path: Path) -> None:
        run = tmp_path / "run"
        pipeline.run(self.config(), run, last="supernet")
        try:
            pipeline.resume(run, last="search", monitor=Stopping())
        except InterruptedRun:
            assert not (run / SEARCH).exists()
            pipeline.resume(run, last="search")
        assert searched(run) == searched(whole)

    def test_looks_at_no_test_image(self, whole: Path, tmp_path: Path) -> None:
        run, config = tmp_path / "run", self.config()
        Run.create(run, complete(config)).close()
        pipeline.resume(run, last="search", data=without_test_images(load(config.data, seed=config.seed)))
        assert searched(run) == searched(whole)


class Stopping(Monitor):
    """Asks for a stop after two units of work; a searcher that tells of none is not stopped."""

    units = 0

    def advance(self, done: int, **facts: Any) -> None:
        """Ask for a stop."""
        self.units += 1
        self.stopping = self.units >= 2


class Forbidden(MemorySplit):
    """Images that nobody may look at."""

    def images(self, indices: Tensor) -> Tensor:
        """Nobody may look."""
        raise AssertionError("a searcher looked at test images")


def without_test_images(data: DataSet) -> DataSet:
    """The data set with test images that may not be looked at."""
    places = torch.arange(len(data.test))
    return replace(data, test=Forbidden(data.test.images(places), data.test.labels_N), unresized_test=None)


def searched(run: Path) -> dict[str, Any]:
    """What a search left."""
    found: dict[str, Any] = json.loads((run / SEARCH).read_text())
    return found
