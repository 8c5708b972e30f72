from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lowland import measures
from lowland.core.errors import ConfigError, LowlandError
from lowland.core.monitor import Monitor
from lowland.execution import local as workers_module
from lowland.search import Archive, Candidate, Evaluator, LocalScorer, Proposal, Racing
from lowland.search.racing import INFLUENCE, difference_error, racing_images, rounded, significantly_worse
from lowland.search.strategies.evolution import Evolution
from lowland.store.run import ARCHIVE, Run
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.requests import RacingMeasure
from lowland.workflow.scoring import scorers
from lowland.workflow.session import Session
from toy_search import searched as toy_searched
from whole_runs import TINY, copied, evolution, made

CONFIG = Evolution.Config(
    population=10, generations=6, parents=4, mutations=4, crossovers=4, mutation_probability=0.2, racing=0.2
)
ALL, FEW = 300, 60


class Images:
    """A toy measure of N images: a genotype's value, an image's difficulty, and noise of genotype and image."""

    def __init__(self, value_of, spread: float = 2.0, seed: int = 0) -> None:
        self.value_of, self.spread, self.seed = value_of, spread, seed
        self.difficulty_N = 5.0 * np.random.default_rng(seed).normal(size=ALL)
        self.passed = 0
        self.log: list = []
        self.stop: int | None = None

    def of_images(self, genotype) -> np.ndarray:
        rng = np.random.default_rng((self.seed, *genotype.genes))
        return self.value_of(genotype) + self.difficulty_N + self.spread * rng.normal(size=ALL)

    def judge(self, images: int, influence: bool = True):
        def judged(genotype) -> SimpleNamespace:
            if self.stop == len(self.log):
                raise KeyboardInterrupt
            self.log.append((genotype, images))
            self.passed += images
            value_N = self.of_images(genotype)[:images]
            influence_N = value_N - value_N.mean()
            details = {"images": images} | ({INFLUENCE: rounded(influence_N)} if influence and images < ALL else {})
            error = float(np.linalg.norm(influence_N)) / images
            return SimpleNamespace(value=value_N.mean(), standard_error=error, details=details)

        return judged


def racing(space, archive: Archive, toy_images: Images, influence: bool = True, **options) -> Racing:
    first, full = (
        Evaluator(space, LocalScorer(toy_images.judge(images, influence)), archive, f"toy on {images}", space.cost)
        for images in (FEW, ALL)
    )
    return Racing(first, full, CONFIG.parents, **options)


def run(space, archive: Archive, toy_images: Images, seed: int = 0, told: list | None = None):
    return raced(space, racing(space, archive, toy_images), seed, told)


def raced(space, race: Racing, seed: int = 0, told: list | None = None):
    report = (lambda *_: None) if told is None else (lambda done, total, candidate, best: told.append(candidate))
    first = {"first_look": lambda share: race.first, "report": report}
    return toy_searched("evolution", space, race.full, seed, CONFIG.model_dump(), **first)


def comparable(result):
    rows = [(c.genotype, c.value, c.standard_error, c.details, c.generation, c.origin) for c in result.ranking]
    return rows, result.summary


def look(value: float, influence_N=None, error: float | None = None) -> Candidate:
    return Candidate(
        genotype=None, key="", measure="m", generation=0, origin="random", status="scored", value=value,
        standard_error=error, details={} if influence_N is None else {INFLUENCE: influence_N},
    )  # fmt: skip


def test_the_error_of_a_difference_is_that_of_the_mean_of_differences() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=400)
    one_N, other_N = shared + 0.2 * rng.normal(size=400), shared + 0.2 * rng.normal(size=400)
    paired = difference_error(look(0.0, rounded(one_N - one_N.mean())), look(0.0, rounded(other_N - other_N.mean())))
    assert paired == pytest.approx((one_N - other_N).std() / 20, rel=1e-3)
    assert difference_error(look(0.0, error=3.0), look(0.0, [1.0], error=4.0)) == 5.0
    assert difference_error(look(0.0, error=3.0), look(0.0)) is None
    assert significantly_worse(look(0.0, error=3.0), look(10.01, error=4.0))
    assert not significantly_worse(look(0.0, error=3.0), look(9.99, error=4.0))
    assert not significantly_worse(look(0.0), look(9.99)), "without any error nothing can be ruled out"


@pytest.mark.parametrize(
    ("share", "images", "few"), [(0.25, 400, 100), (0.1, 300, 30), (0.01, 400, 30), (0.5, 20, 20), (0.3, 1000, 300)]
)
def test_a_first_look_takes_its_share_but_enough_to_tell(share: float, images: int, few: int) -> None:
    assert racing_images(share, images) == few


class Plain:
    """An evaluator without an archive, which would take most of the time."""

    def __init__(self, space, judge) -> None:
        self.space, self.scorer = space, LocalScorer(judge)

    def __call__(self, proposals):
        for genotype, generation, origin in proposals:
            found = self.scorer.score(genotype)
            yield Candidate(
                genotype=genotype, key=self.space.key(genotype), measure="m", generation=generation, origin=origin,
                status="scored", value=found.value, standard_error=found.standard_error, details=found.details,
            )  # fmt: skip


@pytest.mark.parametrize("influence", [True, False])
def test_better_candidates_are_ruled_out_as_rarely_as_two_standard_errors_say(make_toy, influence: bool) -> None:
    space = make_toy(length=4, choices=8)
    ruled_out = trials = worse_out = 0
    for seed in range(30):
        # Genotypes that begin with 7 are clearly worse, all others exactly as good in expectation.
        images = Images(lambda genotype: -2.0 * (7 in genotype.genes[:2]), seed=seed)
        rng = np.random.default_rng(seed)
        genotypes = [
            *{space.key(g): g for g in (space.make(*map(int, rng.integers(7, size=4))) for _ in range(70))}.values()
        ]
        race = Racing(*(Plain(space, images.judge(few, influence)) for few in (FEW, ALL)), CONFIG.parents)
        # Parents that were not chosen for their scores: the bar is the worst of them.
        first = list(race([Proposal(genotype, 0, "random") for genotype in genotypes[: CONFIG.parents]]))
        found = list(race([Proposal(genotype, 1, "random") for genotype in genotypes[CONFIG.parents :]]))
        poor = list(race([Proposal(space.make(7, place // 8, place % 8, 0), 2, "random") for place in range(20)]))
        bar = min(candidate.value for candidate in first)
        better = [images.of_images(candidate.genotype).mean() >= bar for candidate in found]
        trials += sum(better)
        ruled_out += sum(c.status == "raced" and good for c, good in zip(found, better, strict=True))
        worse_out += sum(c.status == "raced" for c in poor)
    assert trials > 1000
    assert ruled_out <= 0.023 * trials
    # Pairing is what makes it worth while: against an images' difficulty of 5, a difference of 2 does not show.
    assert worse_out > 590 if influence else worse_out < 500


@pytest.mark.parametrize("seed", range(3))
def test_a_raced_search_finds_as_good_a_best_with_fewer_images(tmp_path: Path, make_toy, value_of, seed: int) -> None:
    space = make_toy(length=6, choices=5)
    images, told = Images(value_of, seed=seed), []
    with Archive(tmp_path / "raced.sqlite") as archive:
        result = run(space, archive, images, seed, told)
        statuses = Counter(candidate.status for candidate in told)
        few, many = archive.candidates(f"toy on {FEW}"), archive.candidates(f"toy on {ALL}")
    summary = result.summary
    assert (summary.proposed, summary.failed) == (60, 0)
    assert statuses == {"scored": summary.scored, "raced": summary.raced_out}
    assert summary.raced_out > 10
    # All were looked at and are archived as that; what was ruled out has no other score and is not ranked.
    assert len(few) == 60
    assert {c.key for c in many} == {c.key for c in result.ranking}
    assert all(c.measure == f"toy on {ALL}" and c.details["images"] == ALL for c in result.ranking)
    assert all(c.details["images"] == FEW and c.status == "scored" for c in few)
    assert len(many) + summary.raced_out == 60
    assert images.passed == 60 * FEW + summary.scored * ALL < 0.9 * 60 * ALL
    # Nothing that would have been the best of those proposed was ruled out.
    assert max(told, key=lambda c: images.of_images(c.genotype).mean()).key == result.ranking[0].key


def test_who_is_ruled_out_by_hand(tmp_path: Path, make_toy, value_of) -> None:
    images, told = Images(value_of), []
    with Archive(tmp_path / "a.sqlite") as archive:
        run(make_toy(length=6, choices=5), archive, images, told=told)
    assert {c.status for c in told if c.generation == 0} == {"scored"}, "there is no bar yet"
    for generation in range(1, CONFIG.generations):
        before = sorted((c for c in told if c.generation < generation and c.status == "scored"), key=lambda c: c.rank)
        bar_N = images.of_images(before[CONFIG.parents - 1].genotype)[:FEW]
        for candidate in (c for c in told if c.generation == generation):
            difference_N = images.of_images(candidate.genotype)[:FEW] - bar_N
            out = difference_N.mean() < -2 * difference_N.std() / FEW**0.5
            assert (candidate.status, candidate.measure) == (
                ("raced", "toy on 60") if out else ("scored", "toy on 300")
            )


@pytest.mark.parametrize("stops", [[1], [5, 3], [10, 11, 1], [35, 21], [20, 20, 9]])
def test_a_raced_search_stopped_anywhere_and_begun_again_ends_the_same(
    tmp_path: Path, make_toy, value_of, stops: list[int]
) -> None:
    space = make_toy(length=6, choices=5)
    whole_images, whole_told = Images(value_of), []
    with Archive(tmp_path / "whole.sqlite") as archive:
        whole = run(space, archive, whole_images, told=whole_told)
    log: list = []
    for stop in stops:
        images = Images(value_of)
        images.stop = stop
        with Archive(tmp_path / "parts.sqlite") as archive, pytest.raises(KeyboardInterrupt):
            run(space, archive, images)
        log += images.log
    images, told = Images(value_of), []
    with Archive(tmp_path / "parts.sqlite") as archive:
        resumed = run(space, archive, images, told=told)
    assert comparable(resumed) == comparable(whole)
    assert whole.summary.raced_out > 0
    assert [(c.genotype, c.status, c.value) for c in told] == [(c.genotype, c.status, c.value) for c in whole_told]
    assert log + images.log == whole_images.log, "no candidate is looked at twice, none is left out"


def test_a_stop_is_heard_after_every_first_look(tmp_path: Path, toy, value_of) -> None:
    images = Images(value_of)

    def looked() -> None:
        if len(images.log) == 2:
            raise KeyboardInterrupt

    with Archive(tmp_path / "a.sqlite") as archive:
        race = racing(toy, archive, images, looked=looked)
        with pytest.raises(KeyboardInterrupt):
            list(race([Proposal(toy.make(1, 1, 1, 1, place), 0, "random") for place in range(4)]))
        assert archive.count() == 2


def test_failures_of_a_first_look_are_failed_candidates(tmp_path: Path, make_toy, value_of) -> None:
    def judge(genotype):
        if genotype.genes[0] == 2:
            raise ValueError("loss is not finite")
        return images.judge(FEW)(genotype)

    space, images = make_toy(length=6, choices=5), Images(value_of)
    with Archive(tmp_path / "a.sqlite") as archive:
        race = racing(space, archive, images)
        race.first.scorer = LocalScorer(judge)
        result = raced(space, race)
        failed = sum(c.status == "failed" for c in archive.candidates(f"toy on {FEW}"))
    assert result.summary.failed == failed > 0
    assert result.summary.scored + result.summary.raced_out + failed == 60
    with Archive(tmp_path / "b.sqlite") as archive:
        race = racing(space, archive, images)
        race.first.scorer = LocalScorer(lambda genotype: judge(space.make(2)))
        with pytest.raises(LowlandError, match=r"none of 20 .* \(20 times: ValueError: loss is"):
            raced(space, race)


RACED = {
    "search": evolution(racing=0.4, population=8, generations=3, mutations=4),
    # One draw of the noise, so that the standard error is that over images alone.
    "measure": {"name": "angle+flatness", "combine": "sum", "images": 80, "draws": 1},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    return made(tmp_path_factory.mktemp("racing") / "run", RACED, last="supernet")


@pytest.mark.parametrize("name", ["loss", "angle+flatness"])
def test_a_first_look_of_a_run_is_the_measure_on_fewer_images(trained: Path, name: str) -> None:
    with Run.open(trained, read_only=True) as opened:
        session = Session(opened, Monitor())
        config = session.config.measure.model_copy(update={"name": name})
        genotype = session.space.parse("1,2,3,1,1,2")
        with scorers(session) as scorer:
            (found,) = scorer(RacingMeasure(config, 32)).scores([genotype])
            (whole,) = scorer(config).scores([genotype])
        alone = session.config.model_copy(update={"measure": config.model_copy(update={"images": 32})})
        opened.config = alone
        expected = measures.get(config).score(session.supernet, genotype, Session(opened, Monitor()).context)
    influence_N = found.details.pop(INFLUENCE)
    assert (found.value, found.standard_error, found.details) == (
        expected.value,
        expected.standard_error,
        expected.details,
    )
    assert len(influence_N) == 32
    assert np.linalg.norm(influence_N) / 32 == pytest.approx(found.standard_error, rel=1e-3)
    assert INFLUENCE not in whole.details


def searched(run_: Path, to: Path, workers: int):
    pipeline.resume(copied(run_, to), last="search", changes=[{"search": {"workers": workers}}])
    with Archive(to / ARCHIVE, read_only=True) as archive, Run.open(to, read_only=True) as opened:
        found = [
            (c.genotype, c.generation, c.origin, c.status, c.value, c.standard_error, c.details, c.measure)
            for c in archive.candidates(order="created")
        ]
        return found, opened.read_json("search.json")


@pytest.mark.slow
def test_a_raced_run_is_the_same_at_any_number_of_workers(trained: Path, tmp_path: Path, monkeypatch) -> None:
    alone, facts = searched(trained, tmp_path / "alone", 1)
    assert facts["summary"]["raced_out"] > 0
    assert facts["summary"]["proposed"] == facts["summary"]["scored"] + facts["summary"]["raced_out"] == 24
    assert Counter('"raced": 32' in measure for *_, measure in alone) == {True: 24, False: facts["summary"]["scored"]}
    assert len(facts["ranking"]) == facts["summary"]["scored"]
    monkeypatch.setattr(workers_module, "WORTH_SECONDS", 0.0)
    # The parent would be done before a worker has started.
    here = workers_module.Workers._here
    monkeypatch.setattr(
        workers_module.Workers, "_here", lambda self, *what: None if self._started else here(self, *what)
    )
    assert searched(trained, tmp_path / "several", 2) == (alone, facts)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"measure": {"name": "angle"}},
            "evolution.racing=0.4 needs a measure that looks at images, such as flatness",
        ),
        (
            {"measure": {"name": "angle+synflow"}},
            "measure.name='angle\\+synflow' does not; leave search.options",
        ),
        ({"measure": {"name": "flatness"}, "finetune": {"epochs": 1}}, "would fine-tune every candidate"),
        ({"measure": {"combine": "rank"}}, "measure.combine=rank orders by ranks"),
    ],
)
def test_racing_that_could_save_nothing_is_refused(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipeline.run(assemble(TINY, RACED, settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "settings",
    [evolution(racing=0.0), evolution(racing=1.0), {"strategy": "random", "options": {"random": {"racing": 0.5}}}],
)
def test_settings_of_racing_are_checked(settings: dict) -> None:
    with pytest.raises(ConfigError, match="racing"):
        assemble({"search": settings})
