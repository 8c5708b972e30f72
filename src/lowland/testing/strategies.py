"""The conformance suite of strategies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import pytest

from lowland.core.config import Config, MeasureConfig, SearchConfig
from lowland.core.errors import ConfigError, InterruptedRun, LowlandError
from lowland.core.genotype import Genotype
from lowland.core.registry import SEARCHERS, STRATEGIES
from lowland.search import Candidate, Proposal, SearchProblem, SearchResult, Strategy
from lowland.search.strategies import strategy as strategies
from lowland.spaces import Space
from lowland.testing.toys import ToySpace


class StrategySuite:
    """Every promise of `Strategy`, as tests of one of them.

        class TestMine(StrategySuite):
            name = "mine"
            options = {"population": 8, "generations": 4}

    It searches a toy space of 1,024 genotypes; override the fixture `space` where it needs another one, and the limits
    with it.

    Attributes:
        name: Of the strategy, which must be registered when the test runs.
        options: Its own settings that make a search short.
        proposes: More than this many candidates are proposed with these settings.
        limits: Limits that leave some of the space.
    """

    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}
    proposes: ClassVar[int] = 10
    limits: ClassVar[dict[str, int]] = {"max_params": 30, "max_macs": 2000}

    @pytest.fixture(scope="class")
    @classmethod
    def space(cls) -> Space:
        """The space that is searched."""
        return ToySpace()

    @classmethod
    def strategy(cls, **own: Any) -> Strategy:
        """The strategy with its settings, and others on top."""
        return strategies.chosen(SearchConfig(strategy=cls.name, options={cls.name: {**cls.options, **own}}))

    @classmethod
    def search(cls, space: Space, score: Scores, seed: int = 0, **given: Any) -> SearchResult:
        """What it finds; `given`: limits, report, … of the problem."""
        problem = SearchProblem(space=space, score=score, seed=seed, **{"cost": score.cost, **given})
        return cls.strategy().search(problem)

    def test_registered_under_its_name(self) -> None:
        of = STRATEGIES.load(self.name)
        assert of.name == self.name
        assert of.summary
        assert of.source
        assert self.name not in SEARCHERS.names(), "both have their own settings in search.options"

    def test_settings_and_other_settings_are_its_own_to_check(self) -> None:
        strategy = self.strategy()
        strategy.require(Config())
        assert strategy.measure(MeasureConfig()).name
        with pytest.raises(ConfigError, match=f"search.options.{self.name}.nosuch"):
            self.strategy(nosuch=1)

    def test_a_search_is_a_function_of_its_seed(self, space: Space) -> None:
        first, second = Scores(space), Scores(space)
        assert self.search(space, first) == self.search(space, second)
        assert first.calls == second.calls

    def test_every_candidate_is_new_within_the_limits_reported_and_ranked(self, space: Space) -> None:
        reported: list[Any] = []
        scores = Scores(space)
        found = self.search(space, scores, **self.limits, report=lambda *each: reported.append(each))
        calls = scores.calls
        assert len({space.key(genotype) for genotype, *_ in calls}) == len(calls) == len(reported) > self.proposes
        sizes = [scores.cost(genotype) for genotype, *_ in calls]
        assert all(each.parameters <= self.limits.get("max_params", each.parameters) for each in sizes)
        assert all(each.macs <= self.limits.get("max_macs", each.macs) for each in sizes)
        assert [done for done, *_ in reported] == list(range(1, len(calls) + 1))
        assert {each.genotype for each in found.ranking} == {genotype for genotype, *_ in calls}
        assert found.summary.strategy == self.name
        assert found.summary.proposed == found.summary.scored == len(calls)

    def test_candidates_that_fail_are_counted_and_not_ranked(self, space: Space) -> None:
        scores = Scores(space, fails=lambda genotype: sum(genotype.genes) % 3 == 0)
        found = self.search(space, scores)
        failed = {genotype for genotype, *_ in scores.calls if scores.fails(genotype)}
        assert failed
        assert {each.genotype for each in found.ranking} == {genotype for genotype, *_ in scores.calls} - failed
        assert found.summary.failed == len(failed)
        assert found.summary.proposed == len(scores.calls) == found.summary.scored + found.summary.failed

    def test_a_stopped_search_is_replayed_to_the_same_end(self, space: Space) -> None:
        """The report may raise; begun again, it makes the same proposals, of which the archive has the first."""
        whole, stopped, again = Scores(space), Scores(space), Scores(space)
        result = self.search(space, whole)

        def stop(done: int, *rest: object) -> None:
            if done == self.proposes:
                raise InterruptedRun("stopped")

        with pytest.raises(InterruptedRun):
            self.search(space, stopped, report=stop)
        assert stopped.calls[: self.proposes] == whole.calls[: self.proposes]
        assert self.search(space, again) == result
        assert again.calls == whole.calls

    @pytest.mark.parametrize("lag", [0, 3, 11])
    def test_with_a_lag_a_proposal_sees_the_scores_below_it_but_the_latest(self, space: Space, lag: int) -> None:
        """Another score of candidate m changes proposal m + lag + 1 at the earliest."""
        if not self.strategy().lags:
            pytest.skip("has nothing to do with a lag")
        whole, changed = Scores(space), Scores(space)
        self.search(space, whole, lag=lag)
        assert len({space.key(genotype) for genotype, *_ in whole.calls}) == len(whole.calls) > self.proposes
        place = self.proposes // 2
        changed.fails = lambda genotype: len(changed.calls) == place + 1
        self.search(space, changed, lag=lag)
        assert changed.calls[: place + lag + 1] == whole.calls[: place + lag + 1]

    def test_with_a_lag_it_does_not_matter_when_scores_come(self, space: Space) -> None:
        """One batch after the other, or each candidate as soon as it is proposed: the same search."""
        if not self.strategy().lags:
            pytest.skip("has nothing to do with a lag")
        batches, single = Scores(space), Scores(space)

        def stream(more: Callable[[], Sequence[Proposal]]) -> Iterator[Candidate]:
            ahead: list[Proposal] = []
            while ahead := [*ahead, *more()]:
                yield from single(ahead[:1])
                del ahead[0]

        assert self.search(space, batches, lag=5) == self.search(space, single, lag=5, stream=stream)
        assert batches.calls == single.calls

    def test_no_network_within_the_limits_is_an_error(self, space: Space) -> None:
        with pytest.raises(LowlandError, match=r"max_params|limit|network"):
            self.search(space, Scores(space), max_params=1)


class Scores:
    """Scores as an accuracy in [0, 1], best at genes of 2; notes what is asked for, and fails where `fails` says so."""

    def __init__(self, space: Space, fails: Any = lambda genotype: False) -> None:
        self.space, self.fails = space, fails
        self.calls: list[Proposal] = []

    def cost(self, genotype: Genotype) -> Any:
        """Parameters and multiply-accumulates, which a toy space knows without a shape."""
        return self.space.cost(genotype)

    def __call__(self, proposals: Sequence[Proposal]) -> Iterator[Candidate]:
        for proposal in proposals:
            genotype, generation, origin = proposal
            self.calls.append(proposal)
            size, failed = self.cost(genotype), self.fails(genotype)
            yield Candidate(
                genotype=genotype,
                key=self.space.key(genotype),
                measure="toy",
                generation=generation,
                origin=origin,
                status="failed" if failed else "scored",
                reason="told to" if failed else "",
                value=None if failed else 1 - sum((gene - 2) ** 2 for gene in genotype.genes) / 100,
                parameters=size.parameters,
                macs=size.macs,
            )
