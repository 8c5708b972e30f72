"""`lowland rank` from a truth file to a page: resumable, archived, and refusing bad input with one sentence."""

from __future__ import annotations

import copy
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lowland import spaces
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.measures.accuracy import Accuracy
from lowland.report import ranking_page
from lowland.store.run import Run
from lowland.workflow import pipeline
from lowland.workflow import rank as ranking
from lowland.workflow.presets import assemble
from whole_runs import TINY, Command, content, made_up_truth, options

SPACE = spaces.get("nasbench201")
MEASURES = ("accuracy", "angle")
SIZE = 14


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_truth(tmp_path_factory.mktemp("truth") / "truth.csv", SPACE, SIZE, seed=5)


@pytest.fixture(scope="module")
def asked(truth: Path) -> ranking.RankingRequest:
    return ranking.RankingRequest(truth=truth, measures=MEASURES, rank_sums=(MEASURES,), resamples=60)


@pytest.fixture(scope="module")
def ranked(asked: ranking.RankingRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ranking; never change it."""
    out = tmp_path_factory.mktemp("ranked") / "rank"
    ranking.rank(asked, out, [TINY])
    return out


def read(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "rank.json").read_text())
    return document


def results(out: Path) -> dict[str, Any]:
    """What a ranking found, without times and paths."""
    document = read(out)
    for row in document["measures"]:
        del row["seconds"]
    return {key: document[key] for key in ("measures", "references", "agreement", "differences", "genotypes")}


def rows(out: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(out / "archive.sqlite")) as archive:
        return archive.execute("SELECT * FROM candidates ORDER BY id").fetchall()


def test_what_is_written_is_what_was_measured(ranked: Path, truth: Path) -> None:
    document = read(ranked)
    names = [row["name"] for row in document["measures"]]
    assert names == ["accuracy", "angle", "rank sum of accuracy, angle"]
    given = dict(line.rsplit(",", 2)[:2] for line in truth.read_text().splitlines()[1:])
    genotypes = document["genotypes"]
    assert {entry["genotype"]: f"{entry['truth']['test_acc']:.4f}" for entry in genotypes} == given
    accuracy, angle, total = (np.array([entry["scores"][name] for entry in genotypes]) for name in names)
    np.testing.assert_array_equal(total, stats.rankdata(accuracy) + stats.rankdata(angle))
    for column in ("test_acc", "corrupt_mean"):
        true = np.array([entry["truth"][column] for entry in genotypes])
        for row, values in zip(document["measures"], (accuracy, angle, total), strict=True):
            tau = row["truth"][column]["all"]["tau"]
            assert tau["value"] == pytest.approx(stats.kendalltau(values, true).statistic)
            assert tau["low"] <= tau["value"] <= tau["high"]
    assert document["agreement"][0][1] == pytest.approx(stats.kendalltau(accuracy, angle).statistic)
    assert [row["name"] for row in document["references"]] == ["test_acc"]
    # 64 calibration images and the 40 scored ones; the angle looks at none.
    assert [row["images"] for row in document["measures"]] == [104.0, 0.0, None]
    assert len(rows(ranked)) == 2 * SIZE
    with Run.open(ranked / "run", read_only=True) as run:
        assert run.verify() == []


def test_the_same_command_again_scores_nothing(
    ranked: Path, asked: ranking.RankingRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, archived = results(ranked), rows(ranked)
    monkeypatch.setattr(Accuracy, "judge", lambda *_: pytest.fail("scored again"))
    ranking.rank(asked, ranked, [TINY])
    assert results(ranked) == before
    assert rows(ranked) == archived


class Stopping(Monitor):
    """Asks for a stop when a stage has come so far."""

    def __init__(self, stage: str, done: int) -> None:
        self.at, self.now = (stage, done), ""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.now = stage

    def advance(self, done: int, **facts: Any) -> None:
        self.stopping = (self.now, done) >= self.at and self.now == self.at[0]


def test_a_stopped_ranking_ends_the_same(ranked: Path, asked: ranking.RankingRequest, tmp_path: Path) -> None:
    out = tmp_path / "rank"
    for stage, done in (("supernet", 1), ("accuracy", 3), ("accuracy", 9), ("angle", 2), ("statistics", 1)):
        with pytest.raises(InterruptedRun, match="run the same command again"):
            ranking.rank(asked, out, [TINY], monitor=Stopping(stage, done))
        assert not (out / "rank.json").exists()
    assert len(rows(out)) == 2 * SIZE
    ranking.rank(asked, out, [TINY])
    assert results(out) == results(ranked)


def test_an_existing_supernet_is_used_and_left_alone(
    ranked: Path, asked: ranking.RankingRequest, tmp_path: Path, lowland: Command
) -> None:
    run = ranked / "run"
    before = content(run)
    out = tmp_path / "other"
    arguments = ("rank", "--truth", asked.truth, "--measures", "accuracy,angle", "--rank-sum", "accuracy,angle")
    said = lowland(*arguments, "--resamples", "60", "--supernet", run, "--data", "digits", "--out", out)
    assert said.code == 0, said.err
    assert results(out) == results(ranked)
    assert content(run) == before
    assert "rank sum of accuracy, angle" in said.out
    assert str(out / "rank.html") in said.out
    # Settings of the measure may differ, and a smaller sample is part of the larger one.
    said = lowland(*arguments, "--sample", "10", "--supernet", run, "--set", "measure.images=20", "--out", out)
    assert said.code == 0, said.err
    part = read(out)
    assert part["measures"][0]["images"] == 84.0
    assert [entry["genotype"] for entry in part["genotypes"]] == [
        entry["genotype"] for entry in read(ranked)["genotypes"][:10]
    ]
    assert content(run) == before


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with another supernet; never change it."""
    out = tmp_path_factory.mktemp("second") / "run"
    pipeline.run(assemble(TINY, {"seed": 7}), out, last="supernet")
    return out


def test_ranks_are_summed_over_supernets(
    ranked: Path, second: Path, asked: ranking.RankingRequest, tmp_path: Path, lowland: Command
) -> None:
    out, runs = tmp_path / "both", [ranked / "run", second]
    whole = ranking.rank(asked, out, supernets=runs)
    parts = [ranking.rank(asked, tmp_path / path.parent.name, supernets=[path]) for path in runs]
    assert [each["seed"] for each in whole["supernets"]] == [part["settings"]["config"]["seed"] for part in parts]

    def scores(document: dict[str, Any], name: str) -> Any:
        return np.array([entry["scores"][name] for entry in document["genotypes"]])

    for name in MEASURES:
        ranks = [stats.rankdata(scores(part, name)) for part in parts]
        np.testing.assert_array_equal(scores(whole, name), ranks[0] + ranks[1])
    accuracy, angle, total = whole["measures"]
    np.testing.assert_array_equal(
        scores(whole, total["name"]), sum(stats.rankdata(scores(whole, name)) for name in MEASURES)
    )
    for column in ("test_acc", "corrupt_mean"):
        alone = [part["measures"][0]["truth"][column]["all"]["tau"]["value"] for part in parts]
        assert accuracy["alone"][column] == pytest.approx(alone)
    assert "alone" not in total
    assert "alone" not in parts[0]["measures"][0]
    assert (accuracy["images"], angle["images"]) == (208.0, 0.0)
    page = (out / "rank.html").read_text()
    assert "2 supernets" in page
    assert "τ-b by supernet" in page
    again = ["rank", "--truth", str(asked.truth), "--measures", "accuracy", "--resamples", "60", "--out", str(out)]
    given = [option for path in runs for option in ("--supernet", str(path))]
    assert lowland(*again, *given).code == 0
    assert len(rows(out)) == 2 * 2 * SIZE
    assert "is given twice" in lowland(*again, *given, "--supernet", str(second)).fault


def test_supernets_on_other_data_are_refused(ranked: Path, asked: ranking.RankingRequest, tmp_path: Path) -> None:
    other = tmp_path / "run"
    pipeline.run(assemble(TINY, {"seed": 7, "data": {"limit": 300}}), other, last="supernet")
    with pytest.raises(ConfigError, match=r"data of .* differs"):
        ranking.rank(asked, tmp_path / "rank", supernets=[ranked / "run", other])
    assert not (tmp_path / "rank").exists()


def test_measures_with_settings_of_their_own(ranked: Path, truth: Path, tmp_path: Path, lowland: Command) -> None:
    out = tmp_path / "rank"
    asked = "flatness(alpha=0), flatness( sigmas = [1e-3,5e-3] , alpha=1),flatness,angle+flatness(draws=2)"
    arguments = ("rank", "--truth", truth, "--resamples", "20", "--supernet", ranked / "run", "--data", "digits")
    sums = ("--rank-sum", "angle,flatness(alpha=0)", "--log-rank-sum", "flatness( alpha=0 ),angle")
    said = lowland(*arguments, "--measures", asked, *sums, "--out", out)
    assert said.code == 0, said.err
    document = read(out)
    assert [(row["name"], row["kind"]) for row in document["measures"]] == [
        ("flatness(alpha=0)", "measure"),
        ("flatness(sigmas=[1e-3,5e-3], alpha=1)", "measure"),
        ("flatness", "measure"),
        ("angle+flatness(draws=2)", "measure"),
        ("angle", "measure"),
        ("rank sum of angle, flatness(alpha=0)", "rank sum"),
        ("log-rank sum of flatness(alpha=0), angle", "log-rank sum"),
    ]
    pure, other, usual, _, angle, total, product = (
        np.array([entry["scores"][row["name"]] for entry in document["genotypes"]]) for row in document["measures"]
    )
    ranks = [stats.rankdata(values) for values in (pure, angle)]
    np.testing.assert_array_equal(total, ranks[0] + ranks[1])
    np.testing.assert_allclose(product, np.log(ranks[0] / SIZE) + np.log(ranks[1] / SIZE))
    # Scores under one σ set differ in α only, and each is kept under its own settings.
    with closing(sqlite3.connect(out / "archive.sqlite")) as archive:
        kept = archive.execute("SELECT DISTINCT measure FROM candidates").fetchall()
    assert len(kept) == 5
    assert (usual < pure).all()  # without the depth term the denominator is smaller
    assert (other != usual).all()
    page = (out / "rank.html").read_text()
    assert "flatness(sigmas=[1e-3,5e-3], alpha=1)" in page
    assert "log-rank sum of flatness(alpha=0), angle" in page
    before = rows(out)
    assert lowland(*arguments, "--measures", asked.replace(" ", ""), *sums, "--out", out).code == 0
    assert rows(out) == before


def test_a_candidate_that_fails_is_counted_and_left_out(
    ranked: Path, asked: ranking.RankingRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Callable[..., Any] = Accuracy.judge
    left = iter([True, False, True])

    def sometimes(self: Accuracy, candidate: Any) -> Any:
        if next(left, False):
            raise ValueError("made to fail")
        return whole(self, candidate)

    monkeypatch.setattr(Accuracy, "judge", sometimes)
    document = ranking.rank(asked, tmp_path / "out", supernets=[ranked / "run"])
    accuracy, angle, total = document["measures"]
    assert (accuracy["scored"], accuracy["failed"]) == (total["scored"], total["failed"]) == (SIZE - 2, 2)
    assert angle["failed"] == 0
    assert {entry["n"] for entry in document["differences"]} == {SIZE - 2}
    assert "2 without a score" in (tmp_path / "out" / "rank.html").read_text()


def test_the_page_needs_nothing_else_and_escapes_everything(ranked: Path) -> None:
    page = (ranked / "rank.html").read_text()
    for word in (
        "rank sum of accuracy, angle",
        "corrupt_mean",
        "Agreement of measures",
        "true accuracy, as a reference",
    ):
        assert word in page
    assert page.count("<svg") == 1 + 3 * 2  # the sign, and one plot for each measure and truth
    assert not re.search(r"<(script|img|iframe|object|embed|base)\b", page)
    assert "://" not in page
    assert set(re.findall(r'(?:href|src)="(.)', page)) <= {"#", "d"}
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    document = read(ranked)
    assert ranking_page.render(document) == page

    evil = "<script>alert(1)</script>\"'&\x07"
    text = (
        json.dumps(document).replace("accuracy", json.dumps(evil)[1:-1]).replace("corrupt_mean", json.dumps(evil)[1:-1])
    )
    broken = json.loads(text)
    broken["data"]["name"] = broken["lowland"] = broken["created"] = broken["supernets"][0]["run"] = evil
    shown = ranking_page.render(broken)
    assert "<script" not in shown.lower()
    assert "\x07" not in shown
    assert shown.count("&lt;script") > 20


def test_undefined_statistics_are_shown_as_dashes(ranked: Path) -> None:
    document = copy.deepcopy(read(ranked))
    nothing = {"value": None, "low": None, "high": None}
    for row in document["measures"]:
        row["truth"]["test_acc"]["all"] = dict.fromkeys(("tau", "rho", "precision", "regret"), nothing)
        row["seconds"] = row["images"] = None
    document["agreement"] = [[None] * 3] * 3
    document["differences"][0] |= nothing
    page = ranking_page.render(document)
    assert "None" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
    assert "nan" not in page.lower().replace("nasbench", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--measures", "accuracy,flatnes"], ["flatnes", "flatness"]),
        (["--measures", "accuracy,accuracy"], ["accuracy", "twice"]),
        (["--measures", ","], ["no measure"]),
        (["--rank-sum", "angle"], ["--rank-sum angle", "two measures"]),
        (["--rank-sum", "angle,angel"], ["angel"]),
        (["--log-rank-sum", "angle"], ["--log-rank-sum angle", "two measures"]),
        (["--log-rank-sum", "angle,angle"], ["--log-rank-sum angle,angle", "twice"]),
        (["--measures", "flatness(alpha=0),flatness( alpha=0 )"], ["twice"]),
        (["--measures", "flatness(alpha=-1)"], ["flatness(alpha=-1)", "alpha"]),
        (["--measures", "flatness(alpha=0"], ["brackets"]),
        (["--sample", "9"], ["--sample 9", "at least 10"]),
        (["--resamples", "0"], ["--resamples 0"]),
        (["--truth-column", "acc"], ["no column 'acc'", "arch, test_acc, corrupt_mean"]),
        (["--shift-column", "fog"], ["no column 'fog'"]),
        (["--space", "darts"], ["line 2", "darts"]),
        (["--truth", "/nowhere/truth.csv"], ["/nowhere/truth.csv does not exist"]),
        (["--supernet", "/nowhere/run"], ["/nowhere/run is not a run directory"]),
        (["--data", "digit"], ["did you mean 'digits'"]),
        (["--set", "measure.draws=0"], ["measure.draws"]),
    ],
    ids=" ".join,
)
def test_a_bad_question_is_one_sentence_and_leaves_nothing(
    arguments: list[str], words: list[str], truth: Path, tmp_path: Path, lowland: Command
) -> None:
    where = [] if "--truth" in arguments else ["--truth", str(truth)]
    fault = lowland("rank", *options(*where, *arguments, "--out", str(tmp_path / "rank"))).fault
    assert all(word in fault for word in words), fault
    assert list(tmp_path.iterdir()) == []


def test_few_architectures_other_settings_and_folders_in_the_way(
    ranked: Path, truth: Path, tmp_path: Path, lowland: Command
) -> None:
    few = tmp_path / "few.csv"
    few.write_text("".join(line + "\n" for line in truth.read_text().splitlines()[:10]))
    out = tmp_path / "rank"
    assert "9 different architectures" in lowland("rank", *options("--truth", str(few), "--out", str(out))).fault
    asked = ["--truth", str(truth), "--out"]
    before = content(ranked)
    other = lowland("rank", *options("--epochs", "3", *asked, str(ranked))).fault
    assert "supernet differs" in other
    assert "--out" in other
    other = lowland("rank", *asked, str(out), "--supernet", str(ranked / "run"), "--seed", "99").fault
    assert "seed differs" in other
    assert "is a run directory" in lowland("rank", *options(*asked, str(ranked / "run"))).fault
    assert "not a ranking" in lowland("rank", *options(*asked, str(tmp_path))).fault
    assert content(ranked) == before
    assert not out.exists()
    out.touch()
    assert "file is in the way" in lowland("rank", *options(*asked, str(out))).fault
