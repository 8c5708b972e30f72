from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from lowland import spaces
from lowland.core.config import MeasureConfig, SearchConfig
from lowland.core.errors import BudgetError, ConfigError, LowlandError
from lowland.search import (
    Archive,
    Candidate,
    Evaluator,
    LocalScorer,
    Reference,
    ScoringFailure,
    hypervolume,
    parse_objectives,
)
from lowland.search.strategies.pareto import strategy
from lowland.search.strategies.pareto.front import ranks
from lowland.search.strategies.pareto.strategy import _features
from lowland.search.strategies.pareto.surrogates import fit
from lowland.spaces.values import Shape
from toy_search import LIMITS, searched

MERIT = ("flatnas(alpha=0.5)", "params")
SETTINGS = {"initial": 16, "iterations": 4, "proposals": 4, "surrogate": "rbf", "inner_population": 20,
            "inner_generations": 8}  # fmt: skip
UNLIMITED = SearchConfig()


def accuracy_and_r(genotype) -> tuple[float, float]:
    """Best at genes of 2, in a landscape with an interaction; R falls where neighbours are equal."""
    genes = np.array(genotype.genes, dtype=float)
    error = 5 + 1.5 * ((genes - 2) ** 2).sum() + 2 * abs(genes[0] - genes[-1])
    return float(1 - min(error, 95) / 100), float(1 + np.abs(np.diff(genes)).sum() / 4)


class Measured:
    """Scores as the archive keeps accuracy+robustness; notes proposals, and fails where `fails` says so."""

    def __init__(self, space, cost=None, fails=lambda genotype: False) -> None:
        self.space, self.cost, self.fails = space, cost or space.cost, fails
        self.calls: list[tuple] = []

    def __call__(self, proposals):
        return (self.one(*proposal) for proposal in proposals)

    def one(self, genotype, generation, origin) -> Candidate:
        self.calls.append((genotype, generation, origin))
        accuracy, r = accuracy_and_r(genotype)
        failed = self.fails(genotype)
        size = self.cost(genotype)
        return Candidate(
            genotype=genotype, key=self.space.key(genotype), measure="toy", generation=generation, origin=origin,
            status="failed" if failed else "scored", value=None if failed else accuracy - r,
            details={"accuracy": {"value": accuracy, "standard_error": 0.01, "weight": 1.0},
                     "robustness": {"value": -r, "standard_error": 0.1, "weight": 1.0}},
            parameters=size.parameters, macs=size.macs,
        )  # fmt: skip


def run(space, score=None, seed=0, objectives=MERIT, cost=None, **given):
    problem = {key: given.pop(key) for key in (*LIMITS, "report") if key in given}
    own = {**SETTINGS, "objectives": objectives, **given}
    score = score or Measured(space, cost)
    return searched("pareto", space, score, seed, own, cost=cost or space.cost, **problem)


def test_proposes_as_published(make_toy) -> None:
    space = make_toy(length=10, choices=6)
    score, told = Measured(space), []
    result = run(space, score, report=lambda *each: told.append(each))
    assert Counter((generation, origin) for _, generation, origin in score.calls) == {
        (0, "random"): 16, (1, "surrogate"): 4, (2, "surrogate"): 4, (3, "surrogate"): 4, (4, "surrogate"): 4,
    }  # fmt: skip
    keys = [space.key(genotype) for genotype, *_ in score.calls]
    assert len(set(keys)) == len(keys) == result.summary.proposed == result.summary.scored == 32
    assert result.summary.generations == 5
    assert [done for done, *_ in told] == list(range(1, 33))
    assert {total for _, total, *_ in told} == {32}
    assert {best for *_, best in told} == {None}, "no candidate is the best of several objectives"


def test_beats_random_search_at_equal_evaluations(make_toy) -> None:
    space = make_toy(length=12, choices=6)
    objectives = parse_objectives(["error", "params"], MeasureConfig())
    ratios, taus = [], []
    for seed in range(3):
        found = run(space, Single(space), seed, ["error", "params"], initial=40, iterations=6, proposals=8,
                    inner_population=40, inner_generations=20)  # fmt: skip
        drawn = searched("random", space, Single(space), seed, {"candidates": 88})
        initial = [candidate for candidate in found.ranking if candidate.generation == 0]
        reference = Reference.of(initial, objectives, UNLIMITED, None)
        volumes = [hypervolume(each.ranking, objectives, UNLIMITED, reference) for each in (found, drawn)]
        assert found.facts["iterations"][-1]["hypervolume"] == pytest.approx(volumes[0])
        assert len(found.ranking) == len(drawn.ranking) == 88
        ratios.append(volumes[0] / volumes[1])
        taus.append(found.facts["iterations"][-1]["surrogates"][0]["tau"])
    assert np.median(ratios) > 1.2, ratios
    assert np.median(taus) > 0.6, taus


class Single(Measured):
    """Scores as the archive keeps accuracy alone."""

    def one(self, genotype, generation, origin) -> Candidate:
        accuracy, _ = accuracy_and_r(genotype)
        size = self.cost(genotype)
        return Candidate(
            genotype=genotype, key=self.space.key(genotype), measure="toy", generation=generation, origin=origin,
            status="scored", value=accuracy, parameters=size.parameters, macs=size.macs,
        )  # fmt: skip


def test_same_seed_same_search_and_its_beginning_does_not_depend_on_its_length(toy) -> None:
    first, second, other, longer = (Measured(toy) for _ in range(4))
    assert run(toy, first) == run(toy, second)
    run(toy, other, seed=1)
    run(toy, longer, iterations=6)
    assert first.calls == second.calls != other.calls
    assert longer.calls[: len(first.calls)] == first.calls


@pytest.mark.parametrize("stop", [9, 16, 22, 27])
def test_a_search_stopped_anywhere_ends_the_same(toy, tmp_path, stop) -> None:
    class Stop(BaseException):
        pass

    def whole(path, stop_after=None):
        done = 0

        def judge(genotype):
            nonlocal done
            done += 1
            if stop_after is not None and done > stop_after:
                raise Stop
            if genotype.genes[2] == 3:
                raise ScoringFailure("told to")
            return Measured(toy).one(genotype, 0, "")

        with Archive(path) as archive:
            evaluator = Evaluator(toy, LocalScorer(judge), archive, "toy", toy.cost)
            return run(toy, evaluator, 5, iterations=3), done

    wanted, _ = whole(tmp_path / "straight")
    with pytest.raises(Stop):
        whole(tmp_path / "stopped", stop)
    found, scored_again = whole(tmp_path / "stopped")
    assert scored_again == 28 - stop
    assert found.facts == wanted.facts
    assert [c.genotype for c in found.ranking] == [c.genotype for c in wanted.ranking]
    assert found.summary == wanted.summary


def test_the_knee_comes_first_then_its_front_then_the_rest(make_toy) -> None:
    space = make_toy(length=8, choices=5)
    result = run(space)
    facts = result.facts
    values = np.array([candidate["objectives"] for candidate in facts["candidates"]])
    rank = ranks(values)
    assert [candidate["rank"] for candidate in facts["candidates"]] == rank.tolist()
    assert sorted(facts["front"]) == np.flatnonzero(rank == 0).tolist()
    assert values[facts["front"], 0].tolist() == sorted(values[facts["front"], 0])
    genes = [tuple(candidate["genes"]) for candidate in facts["candidates"]]
    order = [genes.index(candidate.genotype.genes) for candidate in result.ranking]
    assert sorted(order) == list(range(32))
    assert order[0] == facts["pick"]
    front = values[facts["front"]]
    scaled = (values - front.min(axis=0)) / np.ptp(front, axis=0)
    assert scaled[order[0]].sum() == pytest.approx(scaled[facts["front"]].sum(axis=1).min())
    distances = np.linalg.norm(scaled[order] - scaled[order[0]], axis=1)
    keys = list(zip(rank[order], distances, strict=True))
    assert keys == sorted(keys)


def test_the_best_by_the_first_objective_may_be_picked_instead(make_toy) -> None:
    space = make_toy(length=8, choices=5)
    knee, best = run(space), run(space, pick="best")
    assert (knee.facts["rule"], best.facts["rule"]) == ("knee", "best")
    assert knee.facts["candidates"] == best.facts["candidates"]
    assert best.facts["pick"] == best.facts["front"][0] != knee.facts["pick"]
    assert best.ranking[0].genotype.genes == tuple(best.facts["candidates"][best.facts["pick"]]["genes"])


def test_fault_5_values_of_different_k_are_never_compared(make_toy, monkeypatch) -> None:
    """Fault 5 of the public code: every iteration rescores the whole archive under its own k, the end under one."""
    space = make_toy(length=8, choices=5)
    trained_on: list[np.ndarray] = []

    def spy(kind, x_ND, y_N, seed):
        trained_on.append(y_N)
        return fit(kind, x_ND, y_N, seed)

    monkeypatch.setattr(strategy, "fit", spy)
    score = Measured(space)
    facts = run(space, score).facts
    pairs = np.array([accuracy_and_r(genotype) for genotype, *_ in score.calls])
    errs, rs = 100 * (1 - pairs[:, 0]), pairs[:, 1]
    ks = []
    for iteration, y in zip(facts["iterations"][1:], trained_on, strict=True):
        before = 16 + 4 * (iteration["iteration"] - 1)
        k = errs[:before].mean() / rs[:before].mean()
        assert iteration["k"] == pytest.approx(k)
        np.testing.assert_allclose(y, 0.5 * errs[:before] + 0.5 * k * rs[:before])
        ks.append(k)
    assert len(set(ks)) == 4
    final = errs.mean() / rs.mean()
    assert facts["k"] == pytest.approx(final)
    merits = 0.5 * errs + 0.5 * final * rs
    np.testing.assert_allclose([each["objectives"][0] for each in facts["candidates"]], merits)
    # Hypervolumes too: of the same points under one k, so that they cannot fall.
    volumes = [iteration["hypervolume"] for iteration in facts["iterations"]]
    assert volumes == sorted(volumes)
    assert volumes[-1] > volumes[0]
    assert facts["reference"]["ideal"][0] == pytest.approx(merits[:16].min())
    assert facts["reference"]["nadir"][0] == pytest.approx(merits[:16].max())


def test_facts_are_json_and_tell_what_happened(make_toy) -> None:
    space = make_toy(length=6, choices=5)
    facts = run(space, surrogate="gp", objectives=("error", "robustness", "macs")).facts
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert [each["unit"] for each in facts["objectives"]] == ["%", "percentage points", "multiply-accumulates"]
    assert facts["k"] is None
    first, *others = facts["iterations"]
    assert (first["proposed"], first["scored"], first["surrogates"]) == (16, 16, [])
    for number, each in enumerate(others, 1):
        assert (each["iteration"], each["proposed"], each["scored"]) == (number, 4, 16 + 4 * number)
        assert [model["objective"] for model in each["surrogates"]] == ["error", "robustness"]
        assert all(model["kind"] == "gp" and -1 <= model["tau"] <= 1 for model in each["surrogates"])
    assert all(len(each["objectives"]) == len(each["standard_errors"]) == 3 for each in facts["candidates"])
    assert facts["candidates"][0]["standard_errors"] == pytest.approx([1.0, 0.1, 0.0])


def test_limits_hold_for_every_candidate(make_toy) -> None:
    space = make_toy(length=12, choices=6)
    score = Measured(space)
    # Uniform draws average 205 parameters with a standard deviation near 44.
    result = run(space, score, max_params=70, max_macs=3000)
    assert all(space.cost(g).parameters <= 70 and space.cost(g).macs <= 3000 for g, *_ in score.calls)
    assert result.summary.proposed == 32
    assert all(candidate["feasible"] for candidate in result.facts["candidates"])
    with pytest.raises(BudgetError, match="smallest found has 10 parameters"):
        run(space, max_params=9)


def test_fault_6_a_failed_candidate_is_neither_learned_from_nor_ranked(make_toy) -> None:
    """Fault 6 of the public code: a failed candidate scored 0, which is perfect when minimising."""
    space = make_toy(length=8, choices=5)
    score = Measured(space, fails=lambda genotype: genotype.genes[0] == 0)
    result = run(space, score)
    failed = sum(genotype.genes[0] == 0 for genotype, *_ in score.calls)
    assert result.summary.failed == failed > 0
    assert len(result.ranking) == len(result.facts["candidates"]) == 32 - failed
    assert all(candidate.genotype.genes[0] != 0 for candidate in result.ranking)
    assert result.facts["iterations"][-1]["scored"] == 32 - failed


def test_without_enough_scores_rounds_are_random(toy) -> None:
    score = Measured(toy, fails=lambda genotype: True)
    result = run(toy, score, iterations=1)
    assert {origin for *_, origin in score.calls} == {"random"}
    assert result.ranking == ()
    assert result.facts is None


def test_a_search_in_which_nothing_can_be_scored_says_why(toy, tmp_path) -> None:
    def judge(genotype):
        raise ScoringFailure("told to")

    with Archive(tmp_path / "archive") as archive:
        evaluator = Evaluator(toy, LocalScorer(judge), archive, "toy", toy.cost)
        with pytest.raises(LowlandError, match="told to"):
            run(toy, evaluator, initial=8)


def test_k_that_cannot_be_taken_is_a_setting_to_change(toy) -> None:
    class Unshaken(Measured):
        def one(self, genotype, generation, origin):
            found = super().one(genotype, generation, origin)
            found.details["robustness"]["value"] = 0.0
            return found

    with pytest.raises(
        ConfigError, match=r"raise measure\.options\.robustness\.sigma or set measure\.options\.flatnas\.k"
    ):
        run(toy, Unshaken(toy))


def test_an_exhausted_space_ends_the_search(make_toy) -> None:
    space = make_toy(length=3, choices=3)
    score = Measured(space)
    result = run(space, score, initial=6, iterations=20, proposals=3)
    assert result.summary.proposed == space.functions == 18
    assert "after 18 candidates" in result.summary.note
    # Nothing is left to find: the front is the true one.
    every = [Measured(space).one(genotype, 0, "") for genotype, *_ in score.calls]
    values = parse_objectives(MERIT, MeasureConfig()).values(every, result.facts["k"])
    assert len(result.facts["front"]) == (ranks(values) == 0).sum()


def test_without_iterations_it_is_a_random_sample(toy) -> None:
    result = run(toy, iterations=0)
    assert result.summary.proposed == 16
    assert [iteration["iteration"] for iteration in result.facts["iterations"]] == [0]


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
def test_every_space_can_be_searched(name) -> None:
    space = spaces.get(name)
    shape = Shape(channels=4, cells=2)

    def cost(genotype):
        return space.cost(genotype, shape)

    score = Measured(space, cost)
    result = run(space, score, cost=cost, initial=10, iterations=2, proposals=3, inner_generations=4)
    assert result.summary.proposed == 16
    assert [origin for *_, origin in score.calls] == ["random"] * 10 + ["surrogate"] * 6
    for genotype, *_ in score.calls:
        space.validate(genotype)


def test_surrogates_see_the_size_of_a_genotype_beside_its_encoding(make_toy):
    space = make_toy()
    scored = [space.make(*genes) for genes in ((0, 0, 0, 0, 0), (1, 2, 0, 1, 0), (3, 3, 3, 3, 3))]
    features = _features(space, scored, space.cost)
    x_ND = features(scored)
    assert np.array_equal(x_ND[:, :-2], [space.encode(genotype) for genotype in scored])
    sizes = np.log1p([[space.cost(g).parameters, space.cost(g).macs] for g in scored])
    np.testing.assert_allclose(x_ND[:, -2:], (sizes - sizes.mean(axis=0)) / sizes.std(axis=0))
    # Sizes that never vary say nothing, and others are in the units of the scored ones.
    same = _features(space, scored[:1], space.cost)
    assert np.array_equal(same(scored[:1])[:, -2:], [[0.0, 0.0]])
    assert np.array_equal(features(scored[1:]), x_ND[1:])
