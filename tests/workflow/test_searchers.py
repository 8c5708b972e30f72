"""A searcher of somebody's own, without a supernet, goes through a whole run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from lowland.core.errors import ConfigError, LowlandError
from lowland.core.registry import SEARCHERS
from lowland.core.seeds import numpy_rng
from lowland.core.settings import Positive, Section
from lowland.search import SearchSummary
from lowland.search.record import Ranked, SearchRecord
from lowland.store.artifacts import evaluated
from lowland.store.run import Run
from lowland.testing import SearcherSuite
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.searchers import Searcher, chosen
from lowland.workflow.session import Session
from whole_runs import TINY, Command, evolution, made

SMALLEST: dict[str, Any] = {"search": {"searcher": "smallest", "options": {"smallest": {"looked_at": 6}}}}


class Smallest(Searcher):
    """Random genotypes, the smallest first."""

    name = "smallest"
    summary = "the smallest of some random genotypes"
    source = "tests"

    class Config(Section):
        """How many."""

        looked_at: Positive = Field(10, description="random genotypes")

    options: Smallest.Config

    def require(self, config: Any) -> None:
        """Refuse a limit that nobody looks at."""
        if config.search.max_macs is not None:
            raise ConfigError("search.max_macs plays no part for searcher smallest; leave it out")

    def search(self, session: Session) -> SearchRecord:
        """Rank them."""
        rng = numpy_rng(session.config.seed, "smallest")
        found = {session.space.sample(rng) for _ in range(self.options.looked_at)}
        sizes = {genotype: session.cost(genotype) for genotype in found}
        most = session.config.search.max_params
        sizes = {genotype: size for genotype, size in sizes.items() if most is None or size.parameters <= most}
        ranking = [
            Ranked(genotype=each, parameters=size.parameters, macs=size.macs)
            for each, size in sorted(sizes.items(), key=lambda pair: (pair[1].parameters, pair[0].genes))
        ]
        return SearchRecord(
            ranking=ranking,
            summary=SearchSummary(strategy=self.name, proposed=len(sizes), scored=len(sizes)),
        )


class TestOneShot(SearcherSuite):
    name = "one-shot"
    settings: ClassVar[dict[str, Any]] = {
        "search": evolution(population=4, generations=2, parents=2, mutations=2, crossovers=2)
    }


class TestRandomDesigns(SearcherSuite):
    name = "random-designs"
    settings: ClassVar[dict[str, Any]] = {"search": {"options": {"random-designs": {"number": 8}}}}


def test_training_chooses_among_random_designs(tmp_path: Path) -> None:
    settings = {"search": {"searcher": "random-designs", "finalists": 4, "hand_written": False}}
    run = tmp_path / "run"
    pipeline.run(assemble(TINY, settings), run, last="search")
    ranking = json.loads((run / "search.json").read_text())["ranking"]
    assert [row["finalist"] is not None for row in ranking[:5]] == [True] * 4 + [False]
    with pytest.raises(ConfigError, match="are more than"):
        pipeline.check(assemble(TINY, settings, {"search": {"options": {"random-designs": {"number": 3}}}}))


class RelaxedSuite(SearcherSuite):
    """Of a searcher by gradient: the widths of tiny runs fit partial channels too."""

    settings: ClassVar[dict[str, Any]] = {"supernet": {"epochs": 2, "batch_size": 50}}


class TestDarts(RelaxedSuite):
    name = "darts"


@pytest.mark.slow
class TestA2M(RelaxedSuite):
    name = "a2m"


@pytest.mark.slow
class TestDsrna(RelaxedSuite):
    name = "dsrna"


@pytest.mark.slow
class TestPCDarts(RelaxedSuite):
    name = "pc-darts"
    settings: ClassVar[dict[str, Any]] = RelaxedSuite.settings | {
        "search": {"options": {"pc-darts": {"warmup_epochs": 1}}}
    }


@pytest.mark.slow
class TestRandomSmoothing(RelaxedSuite):
    name = "sdarts-rs"


@pytest.mark.slow
class TestAdversarialSmoothing(RelaxedSuite):
    name = "sdarts-adv"


@pytest.mark.slow
class TestFairDarts(RelaxedSuite):
    name = "fairdarts"


@pytest.mark.slow
class TestDropNas(RelaxedSuite):
    name = "dropnas"


@pytest.mark.slow
class TestShapley(RelaxedSuite):
    name = "shapley"
    settings: ClassVar[dict[str, Any]] = RelaxedSuite.settings | {
        "search": {"options": {"shapley": {"warmup_epochs": 1, "permutations": 1, "batch_size": 32}}}
    }


@pytest.mark.slow
class TestDartsPT(RelaxedSuite):
    name = "darts-pt"
    settings: ClassVar[dict[str, Any]] = RelaxedSuite.settings | {
        "search": {"options": {"darts-pt": {"tune_epochs": 1, "images": 40}}}
    }


@pytest.mark.slow
class TestPDarts(RelaxedSuite):
    name = "p-darts"
    settings: ClassVar[dict[str, Any]] = RelaxedSuite.settings | {
        "search": {"options": {"p-darts": {"warmup_epochs": 1, "added_cells": [0, 0, 1]}}}
    }


class TestGiven(SearcherSuite):
    name = "given"
    settings: ClassVar[dict[str, Any]] = {
        "search": {"options": {"given": {"genotypes": ["resnet-cell", "3,0,1,2,4,3"]}}}
    }


class TestSmallest(SearcherSuite):
    name = "smallest"
    settings = SMALLEST

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def registered(cls) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(SEARCHERS._classes, "smallest", Smallest)
            yield


def test_every_built_in_searcher_is_tested_here() -> None:
    cases = [*SearcherSuite.__subclasses__(), *RelaxedSuite.__subclasses__()]
    tested = {case.name for case in cases if hasattr(case, "name")}
    assert tested >= {entry.name for entry in SEARCHERS.built_in()}


@pytest.fixture(autouse=True)
def smallest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The searcher is there for one test."""
    monkeypatch.setitem(SEARCHERS._classes, "smallest", Smallest)


def test_the_built_in_searcher_trains_a_supernet() -> None:
    assert SEARCHERS.load("one-shot").supernet
    assert {entry.name for entry in SEARCHERS.built_in() if SEARCHERS.load(entry.name).supernet} == {"one-shot"}


def test_a_run_without_a_supernet(tmp_path: Path, lowland: Command) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(json.dumps({key: value for key, value in TINY.items() if key != "search"} | SMALLEST))
    run = tmp_path / "run"
    said = lowland("run", "--config", settings, "--out", run)
    assert said.code == 0, said.err
    assert not (run / "supernet").exists()
    assert not (run / "archive.sqlite").exists()
    searched = json.loads((run / "search.json").read_text())
    sizes = [row["parameters"] for row in searched["ranking"]]
    assert sizes == sorted(sizes)
    assert 1 < len(sizes) <= 6
    assert searched["summary"]["strategy"] == "smallest"
    with Run.open(run, read_only=True) as opened:
        assert opened.config.search.options["smallest"] == {"looked_at": 6}
        # The suite `landscape` needs a supernet, and is left out.
        assert [record.suite for record in evaluated(opened)] == ["classification", "corruptions"]
    told = lowland("status", run)
    assert "left out: search.searcher=smallest trains none" in told.out
    page = (run / "report.html").read_text()
    assert "left out: search.searcher=smallest trains none" in page
    again = lowland("resume", run)
    assert again.code == 0, again.err


def test_another_searcher_trains_the_supernet_after_all(tmp_path: Path) -> None:
    run = made(tmp_path / "run", SMALLEST, last="search")
    pipeline.resume(run, last="search", changes=[{"search": {"searcher": "one-shot"}}])
    assert (run / "supernet" / "trained.safetensors").is_file()
    assert json.loads((run / "search.json").read_text())["summary"]["strategy"] == "evolution"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"search": {"max_macs": 10**9}}, "max_macs plays no part for searcher smallest"),
        ({"retrain": {"inherit": True}}, "retrain.inherit needs a supernet, but search.searcher=smallest trains none"),
        ({"search": {"options": {"smallest": {"looked_at": 0}}}}, "search.options.smallest.looked_at=0"),
        ({"search": {"options": {"smalest": {}}}}, "search.options.smalest: unknown strategy"),
    ],
)
def test_what_does_not_go_with_a_searcher_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipeline.check(assemble(TINY, SMALLEST, settings))


def test_a_searcher_that_finds_nothing_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = SearchRecord(ranking=[], summary=SearchSummary(strategy="smallest", proposed=0, scored=0))
    monkeypatch.setattr(Smallest, "search", lambda self, session: nothing)
    with pytest.raises(LowlandError, match="smallest found no network"):
        made(tmp_path / "run", SMALLEST, last="search")


def test_a_searcher_has_its_own_settings() -> None:
    assert chosen(assemble(TINY, SMALLEST).search).options == Smallest.Config(looked_at=6)
