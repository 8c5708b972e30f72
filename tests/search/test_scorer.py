from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lowland.core.errors import DataError, InterruptedRun, LowlandError, LowlandWarning
from lowland.search import Archive, Evaluator, LocalScorer, Proposal, ScoringFailure
from toy_search import searched

EVOLUTION = {
    "population": 10, "generations": 5, "parents": 4, "mutations": 4, "crossovers": 4, "mutation_probability": 0.2,
}  # fmt: skip
OPTIONS = {"evolution": EVOLUTION, "random": {"candidates": 50}, "exhaustive": {}}


def judgement(value: float, **changes: object) -> SimpleNamespace:
    return SimpleNamespace(**{"value": value, "standard_error": None, "details": {}, **changes})


class Judge:
    """The toy measure; counts its calls, and raises at call number `stop` (from 1)."""

    def __init__(self, value_of, stop: int | None = None, error: BaseException | None = None) -> None:
        self.value_of, self.stop, self.error = value_of, stop, error
        self.scored: list = []

    def __call__(self, genotype):
        if self.stop is not None and len(self.scored) + 1 == self.stop:
            raise self.error or KeyboardInterrupt
        self.scored.append(genotype)
        return judgement(self.value_of(genotype), standard_error=0.5, details={"n": 3})


def run(space, archive: Archive, judge, strategy: str = "evolution", told: list | None = None, **own):
    evaluator = Evaluator(space, LocalScorer(judge), archive, "toy v1", space.cost)
    report = (lambda *_: None) if told is None else (lambda done, total, candidate, best: told.append(candidate))
    return searched(strategy, space, evaluator, 0, OPTIONS[strategy] | own, report=report)


def comparable(result):
    """A result without wall-clock figures."""
    rows = [(c.genotype, c.value, c.standard_error, c.details, c.generation, c.origin) for c in result.ranking]
    return rows, result.summary


@pytest.mark.parametrize("strategy", ["evolution", "random", "exhaustive"])
@pytest.mark.parametrize("stops", [[1], [2, 7], [10, 11, 1], [49], [20, 20, 9]])
def test_a_search_stopped_anywhere_and_begun_again_ends_the_same(
    tmp_path: Path, make_toy, value_of, strategy: str, stops: list[int]
) -> None:
    space = make_toy(length=3, choices=5)
    with Archive(tmp_path / "whole.sqlite") as archive:
        whole_judge, whole_told = Judge(value_of), []
        whole = run(space, archive, whole_judge, strategy, told=whole_told)

    scored: list = []
    for stop in stops:
        judge = Judge(value_of, stop)
        with Archive(tmp_path / "parts.sqlite") as archive, pytest.raises(KeyboardInterrupt):
            run(space, archive, judge, strategy)
        scored += judge.scored
    judge, told = Judge(value_of), []
    with Archive(tmp_path / "parts.sqlite") as archive:
        resumed = run(space, archive, judge, strategy, told=told)
    assert comparable(resumed) == comparable(whole)
    assert [(c.genotype, c.generation, c.origin) for c in told] == [
        (c.genotype, c.generation, c.origin) for c in whole_told
    ]
    assert scored + judge.scored == whole_judge.scored, "no candidate is scored twice, none is left out"


@pytest.mark.parametrize("together", [True, False])
def test_isomorphs_share_a_score_but_not_a_size(tmp_path: Path, toy, value_of, together: bool) -> None:
    judge = Judge(value_of)
    with Archive(tmp_path / "a.sqlite") as archive:
        evaluator = Evaluator(toy, LocalScorer(judge), archive, "m", toy.cost)
        proposals = [Proposal(toy.make(0, 3, 1, 1, 1), 0, "random"), Proposal(toy.make(3, 0, 1, 1, 1), 4, "mutation")]
        first, second = evaluator(proposals) if together else (next(evaluator([p])) for p in proposals)
    assert judge.scored == [first.genotype]
    assert second.value == first.value
    assert (second.genotype.genes, second.generation, second.origin) == ((3, 0, 1, 1, 1), 4, "mutation")
    assert (first.parameters, second.parameters) == (10 + 6 + 12, 10 + 3 + 12)


def test_another_measure_identity_scores_anew(tmp_path: Path, toy, value_of) -> None:
    judge = Judge(value_of)
    with Archive(tmp_path / "a.sqlite") as archive:
        for measure in ("m(sigma=1)", "m(sigma=2)"):
            evaluator = Evaluator(toy, LocalScorer(judge), archive, measure, toy.cost)
            list(evaluator([Proposal(toy.make(1, 1, 1, 1, 1), 0, "random")]))
    assert len(judge.scored) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("size\n  mismatch"), "RuntimeError: size mismatch"),
        (ValueError("bad"), "ValueError: bad"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (math.nan, "the measure gave nan"),
        (math.inf, "the measure gave inf"),
    ],
)
def test_one_candidates_failure_is_recorded_and_the_search_goes_on(
    tmp_path: Path, toy, value_of, error, reason: str
) -> None:
    def judge(genotype):
        if genotype.genes[0] == 1:
            if isinstance(error, float):
                return judgement(error)
            raise error
        return judgement(value_of(genotype))

    with Archive(tmp_path / "a.sqlite") as archive:
        result = run(toy, archive, judge)
        failed = [c for c in archive.candidates() if c.status == "failed"]
        assert 0 < len(failed) == result.summary.failed
        assert {c.reason for c in failed} == {reason}
        assert archive.count() == 50 == result.summary.proposed
    assert all(c.genotype.genes[0] != 1 for c in result.ranking)


SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_a_shortage_of_memory_is_no_candidates_failure(tmp_path: Path, toy, value_of, error) -> None:
    short: list = []

    def once(genotype):
        if genotype.genes[0] == 1 and genotype not in short:
            short.append(genotype)
            raise error
        return judgement(value_of(genotype))

    with Archive(tmp_path / "a.sqlite") as archive, Archive(tmp_path / "b.sqlite") as other:
        with pytest.warns(LowlandWarning, match="at the second attempt, alone"):
            result = run(toy, archive, once)
        assert result.summary.failed == 0
        assert short
        plain = run(toy, other, lambda genotype: judgement(value_of(genotype)))
        assert comparable(result) == comparable(plain)


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_a_shortage_that_stays_stops_the_search_and_archives_nothing(tmp_path: Path, toy, value_of, error) -> None:
    def judge(genotype):
        if len(scored) >= 5:
            raise error
        scored.append(genotype)
        return judgement(value_of(genotype))

    scored: list = []
    with Archive(tmp_path / "a.sqlite") as archive:
        with pytest.raises(LowlandError, match=r"not even alone .*free memory, .* resume the run"):
            run(toy, archive, judge)
        assert [c.status for c in archive.candidates()] == ["scored"] * 5
        assert run(toy, archive, Judge(value_of)).summary.failed == 0


def test_reasons_are_short_lines() -> None:
    def judge(genotype):
        raise RuntimeError("long\n" * 1000)

    with pytest.raises(ScoringFailure) as caught:
        LocalScorer(judge).score(None)  # type: ignore[arg-type]
    assert len(str(caught.value)) <= 300
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRun("stopped"), DataError("gone"), TypeError("bug")])
def test_stops_settings_and_bugs_go_through_and_record_nothing(tmp_path: Path, toy, value_of, error) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        with pytest.raises(type(error)):
            run(toy, archive, Judge(value_of, 4, error))
        assert archive.count() == 3


def test_a_lost_accelerator_stops_the_search_and_blames_no_candidate(tmp_path: Path, toy, value_of) -> None:
    with Archive(tmp_path / "a.sqlite") as archive:
        with pytest.raises(LowlandError, match="accelerator failed while scoring"):
            run(toy, archive, Judge(value_of, 4, torch.AcceleratorError("CUDA error: illegal address")))
        assert [c.status for c in archive.candidates()] == ["scored"] * 3


def test_when_everything_fails_the_commonest_reason_is_named_and_nothing_is_kept(tmp_path: Path, toy, value_of) -> None:
    calls = []

    def judge(genotype):
        calls.append(genotype)
        raise RuntimeError("rare" if len(calls) % 4 == 0 else "common")

    with Archive(tmp_path / "a.sqlite") as archive:
        with pytest.raises(LowlandError, match=r"none of 20 candidates could be scored \(15 times: RuntimeError: comm"):
            run(toy, archive, judge)
        assert len(calls) == 20
        assert archive.count() == 0
        # With the cause removed, resuming scores them all.
        assert run(toy, archive, Judge(value_of)).summary.scored == 50


def test_a_short_search_that_fails_altogether_is_an_error_too(tmp_path: Path, toy) -> None:
    with (
        Archive(tmp_path / "a.sqlite") as archive,
        pytest.raises(LowlandError, match=r"none of 3 .* \(3 times: the measure gave nan\)"),
    ):
        run(toy, archive, lambda genotype: judgement(math.nan), "random", candidates=3)


def test_twenty_failures_after_a_success_do_not_stop_the_search(tmp_path: Path, toy) -> None:
    values = iter([1.0] + [math.nan] * 100)
    with Archive(tmp_path / "a.sqlite") as archive:
        summary = run(toy, archive, lambda genotype: judgement(next(values))).summary
    assert (summary.scored, summary.failed) == (1, 49)


def test_scores_carry_error_details_and_time(tmp_path: Path, toy, value_of) -> None:
    scored = LocalScorer(Judge(value_of)).score(toy.make(2, 2, 2, 2, 0))
    assert (scored.value, scored.standard_error, scored.details) == (-4.0, 0.5, {"n": 3})
    assert scored.seconds > 0
    value = torch.tensor(1.5)
    tensor = LocalScorer(lambda genotype: judgement(value, standard_error=value)).score(toy.make(0, 0, 0, 0, 0))
    assert (type(tensor.value), type(tensor.standard_error)) == (float, float)
