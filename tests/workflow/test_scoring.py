from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from lowland import measures
from lowland.core.errors import ConfigError
from lowland.core.monitor import Monitor
from lowland.core.registry import MEASURES
from lowland.execution import local as workers_module
from lowland.measures import Score
from lowland.measures.measure import Measure
from lowland.search import Archive, Scored
from lowland.store.run import ARCHIVE, Run
from lowland.workflow import pipeline
from lowland.workflow import session as sessions
from lowland.workflow.measuring import IMAGES, prepared
from lowland.workflow.room import processes
from lowland.workflow.scoring import scorers, single_thread
from lowland.workflow.session import Session
from whole_runs import copied


@pytest.fixture
def trained(supernet_only: Path) -> Path:
    return supernet_only


RANDOM = {"strategy": "random", "options": {"random": {"candidates": 12}}}


def searched(run: Path, to: Path, **settings: object) -> tuple[list, dict]:
    """Archive (without times) and search.json of a search in a copy of `run`."""
    pipeline.resume(copied(run, to), last="search", changes=[{"search": settings}])
    with Archive(to / ARCHIVE, read_only=True) as archive, Run.open(to, read_only=True) as opened:
        found = [
            (c.genotype, c.generation, c.origin, c.status, c.value, c.standard_error, c.details, c.measure)
            for c in archive.candidates(order="created")
        ]
        return found, opened.read_json("search.json")


@pytest.mark.slow
def test_a_search_is_the_same_at_any_number_of_workers_and_threads(trained: Path, tmp_path: Path, monkeypatch) -> None:
    alone = searched(trained, tmp_path / "alone", workers=1, **RANDOM)
    monkeypatch.setattr(workers_module, "WORTH_SECONDS", 0.0)
    handed = []
    give = workers_module._Worker.give

    def spy(worker, message):
        handed.append(message[2])
        give(worker, message)

    monkeypatch.setattr(workers_module._Worker, "give", spy)
    # The parent would be done before a worker has started.
    here = workers_module.Workers._here
    monkeypatch.setattr(
        workers_module.Workers, "_here", lambda self, *what: None if self._started else here(self, *what)
    )
    torch.set_num_threads(2)
    try:
        several = searched(trained, tmp_path / "several", workers=2, **RANDOM)
        assert torch.get_num_threads() in (1, 2)
    finally:
        torch.set_num_threads(1)
    assert len(set(handed)) == 11, "all but the first, which tells what they take"
    assert several == alone


def test_a_worker_scores_from_a_snapshot_without_the_run_directory(trained: Path, tmp_path: Path, monkeypatch) -> None:
    run = copied(trained, tmp_path / "run")
    with Run.open(run, read_only=True) as opened:
        session = Session(opened, Monitor())
        genotype, request = session.space.parse("1,2,3,0,1,2"), session.config.measure
        expected = measures.get(request).score(session.supernet, genotype, session.context)
        sent = pickle.dumps(prepared(session, with_data=True, count_images=False))
    shutil.rmtree(run)
    monkeypatch.setattr(sessions, "load", None)  # nor are data read from where the settings say
    threads = torch.get_num_threads()
    try:
        score = pickle.loads(sent)()(request, genotype)
    finally:
        torch.set_num_threads(threads)
    assert (score.value, score.standard_error, score.details) == (
        expected.value,
        expected.standard_error,
        expected.details,
    )


def test_a_worker_without_the_precision_that_the_driver_chose_is_refused(trained: Path, monkeypatch) -> None:
    with Run.open(trained, read_only=True) as opened:
        sent = prepared(Session(opened, Monitor()), with_data=False, count_images=False)
        other = "fp32" if sent.snapshot.config.compute.precision == "bf16" else "bf16"
        monkeypatch.setattr("lowland.core.device.native_bf16", lambda device: other == "bf16")
        with pytest.raises(ConfigError, match=f"computes in {other}, but this run in .*: leave that machine out"):
            sent()


@pytest.mark.slow
def test_a_search_by_ray_gives_the_same_rows(trained: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    alone = searched(trained, tmp_path / "alone", workers=1, **RANDOM)
    pipeline.resume(
        copied(trained, tmp_path / "ray"),
        last="search",
        changes=[{"search": {"workers": 2, **RANDOM}, "compute": {"executor": "ray"}}],
    )
    with Archive(tmp_path / "ray" / ARCHIVE, read_only=True) as archive:
        rows = archive.candidates(order="created")
    assert [(c.genotype, c.value, c.standard_error, c.details, c.measure) for c in rows] == [
        (genotype, value, error, details, measure) for genotype, _, _, _, value, error, details, measure in alone[0]
    ]


def test_sharing_workers_between_measures(trained: Path) -> None:
    with Run.open(trained, read_only=True) as opened:
        session = Session(opened, Monitor())
        genotypes = [session.space.parse(f"1,2,3,{gene},1,2") for gene in range(4)]
        with scorers(session, count_images=True) as scorer:
            for name in ("loss", "angle"):
                config = session.config.measure.model_copy(update={"name": name})
                for genotype, outcome in zip(genotypes, scorer(config).scores(genotypes), strict=True):
                    expected = measures.get(config).score(session.supernet, genotype, session.context)
                    assert isinstance(outcome, Scored)
                    assert (outcome.value, outcome.standard_error) == (expected.value, expected.standard_error)
                    # 40 scored images, 64 for batch-norm statistics.
                    assert outcome.details == {**expected.details, IMAGES: 104 if name == "loss" else 0}


class Timed(Measure):
    """Where it was scored."""

    name = "timed"
    summary = source = "tests"
    exclusive = True

    def score(self, supernet, genotype, context) -> Score:
        return Score(float(os.getpid()), None, {"threads": torch.get_num_threads()})


def test_measures_of_time_are_scored_in_this_process(trained: Path, monkeypatch) -> None:
    monkeypatch.setitem(MEASURES._classes, "timed", Timed)
    monkeypatch.setattr(workers_module, "WORTH_SECONDS", 0.0)
    with Run.open(trained, read_only=True) as opened:
        session = Session(opened, Monitor())
        session.run.config = session.config.model_copy(
            update={"search": session.config.search.model_copy(update={"workers": 2})}
        )
        assert processes(session.config, session.compute) == 2
        for name in ("timed", "angle+timed"):
            config = session.config.measure.model_copy(update={"name": name})
            assert measures.get(config).exclusive
        with scorers(session) as scorer:
            genotypes = [session.space.parse(f"1,2,3,{gene},1,2") for gene in range(4)]
            config = session.config.measure.model_copy(update={"name": "timed"})
            outcomes = list(scorer(config).scores(genotypes))
    assert [(o.value, o.details["threads"]) for o in outcomes] == [(os.getpid(), 1)] * 4


def test_one_thread_within_the_block_and_as_before_after_it() -> None:
    def fail() -> None:
        with single_thread():
            assert torch.get_num_threads() == 1
            raise KeyError

    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError):
            fail()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
