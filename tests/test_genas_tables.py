"""benchmarks/genas_tables.py: its figures are those of `lowland rank`, a stop loses little, and the page is safe."""

from __future__ import annotations

import copy
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lowland import spaces
from lowland.workflow import rank as ranking
from whole_runs import made, made_up_truth

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

pytestmark = pytest.mark.slow
SPACE = spaces.get("nasbench201")
SIZE = 12

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of the distribution")


@pytest.fixture(scope="module")
def genas() -> Iterator[ModuleType]:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import genas_tables

        yield genas_tables
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up_truth(tmp_path_factory.mktemp("truth") / "truth.csv", SPACE, SIZE, seed=8)


@pytest.fixture(scope="module")
def supernets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("supernets")
    return [made(folder / str(seed), {"seed": seed}, last="supernet") for seed in (1, 2)]


def arguments(supernets: list[Path], truth: Path, work: Path, out: Path, *more: str) -> list[str]:
    given = [word for home in supernets for word in ("--supernet", str(home))]
    given += [
        "--truth",
        str(truth),
        "--work",
        str(work),
        "--out",
        str(out),
        "--sample",
        "0",
        "--k",
        "3",
        "--every",
        "4",
    ]
    return [*given, "--hessian", "1", *more]


@pytest.fixture(scope="module")
def finished(
    genas: ModuleType, supernets: list[Path], truth: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Folders of kept losses and of results; never change them."""
    folder = tmp_path_factory.mktemp("genas")
    genas.main(arguments(supernets, truth, folder / "work", folder / "out"))
    return folder / "work", folder / "out"


def document(out: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((out / "genas_tables.json").read_text())
    return read


def lines(out: Path) -> dict[str, dict[str, Any]]:
    return {row["label"]: row for table in document(out)["tables"] for row in table["rows"]}


def figures(out: Path) -> dict[str, Any]:
    """What was found, without times."""
    return {key: document(out)[key] for key in ("tables", "differences", "curves", "sample", "hessian")}


def test_figures_are_those_of_lowland_rank(
    finished: tuple[Path, Path], supernets: list[Path], truth: Path, tmp_path: Path
) -> None:
    same = {
        "Accuracy": "accuracy",
        "Loss": "loss",
        "Angle, all weights": "angle(vector=cells+fixed)",
        "Angle, search cells": "angle(vector=cells)",
        "Flatness": "flatness",
        "{2e-3, 2e-2, 4e-2}": "flatness(sigmas=[2e-3,2e-2,4e-2])",
        "α = 0": "flatness(alpha=0)",
        "α = 16": "flatness(alpha=16)",
        "Search cells only": "flatness(position=cells)",
        "angle + flatness, γ = 1.5": "angle(vector=cells+fixed)+flatness(gamma=1.5)",
        "accuracy + flatness, γ = 16": "accuracy+flatness(gamma=16)",
    }
    request = ranking.RankingRequest(truth=truth, measures=tuple(same.values()), sample=0, resamples=2)
    published = {"measure": {"options": {"flatness": {"sigmas": [2e-3, 1e-2, 2e-2]}}, "combine": "sum"}}
    found = ranking.rank(request, tmp_path / "rank", [published], supernets=[supernets[1]])
    ours = lines(finished[1])
    for label, row in zip(same, found["measures"], strict=True):
        for column in ("test_acc", "corrupt_mean"):
            expected = row["truth"][column]["all"]["tau"]["value"]
            assert ours[label]["tau"][column]["values"][1] == pytest.approx(expected), label
    assert ours["τ(angle, flatness)"]["agreement"]["values"][1] == pytest.approx(found["agreement"][2][4])


def test_means_intervals_and_paired_differences(finished: tuple[Path, Path]) -> None:
    ours = lines(finished[1])
    tau = ours["Flatness"]["tau"]["test_acc"]
    assert tau["mean"] == pytest.approx(np.mean(tau["values"]))
    low, high = stats.t.interval(0.95, 1, np.mean(tau["values"]), stats.sem(tau["values"]))
    assert (tau["low"], tau["high"]) == pytest.approx((low, high))
    first = document(finished[1])["differences"][0]
    assert (first["first"], first["second"]) == ("Flatness", "Accuracy")
    assert first["tau"]["test_acc"]["values"] == pytest.approx(
        np.subtract(tau["values"], ours["Accuracy"]["tau"]["test_acc"]["values"])
    )
    assert ours["Hessian direction"]["genotypes"] == ours["All weights, the same genotypes"]["genotypes"] == 1
    assert ours["Hessian direction"]["tau"]["test_acc"]["mean"] is None
    assert [curve["group"] for curve in document(finished[1])["curves"]] == ["top", "middle", "bottom"]


def test_groups_are_the_best_the_middle_and_the_worst(genas: ModuleType) -> None:
    truth = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 0.0])
    assert genas.groups(truth, 2) == {"top": [0, 2], "middle": [4, 3], "bottom": [1, 5]}


def test_a_stop_loses_little_and_ends_the_same(
    genas: ModuleType,
    finished: tuple[Path, Path],
    supernets: list[Path],
    truth: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole, seen = genas.noise, []

    def stopping(session: Any, genotype: Any) -> Any:
        seen.append(genotype)
        if len(seen) == 7:
            raise KeyboardInterrupt
        return whole(session, genotype)

    given = arguments(supernets, truth, tmp_path / "work", tmp_path / "out")
    monkeypatch.setattr(genas, "noise", stopping)
    with pytest.raises(KeyboardInterrupt):
        genas.main(given)
    assert not (tmp_path / "out").exists()
    genas.main(given)
    assert len(seen) == 2 * SIZE + 1
    assert figures(tmp_path / "out") == figures(finished[1])


def test_nothing_is_measured_twice_and_a_smaller_sample_is_part_of_a_larger(
    genas: ModuleType,
    finished: tuple[Path, Path],
    supernets: list[Path],
    truth: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for part in ("noise", "angle", "hessian"):
        monkeypatch.setattr(genas, part, lambda *_: pytest.fail("measured again"))
    genas.main(arguments(supernets, truth, finished[0], tmp_path / "again"))
    assert figures(tmp_path / "again") == figures(finished[1])
    genas.main(arguments(supernets, truth, finished[0], tmp_path / "part", "--sample", "10", "--hessian", "0"))
    assert document(tmp_path / "part")["sample"] == 10
    assert lines(tmp_path / "part")["Flatness"]["genotypes"] == 10
    assert lines(tmp_path / "part")["Hessian direction"]["genotypes"] == 0


def test_the_page_needs_nothing_else_and_escapes_everything(genas: ModuleType, finished: tuple[Path, Path]) -> None:
    page = (finished[1] / "genas_tables.html").read_text()
    held = document(finished[1])
    assert genas.genas_page.render(held) == page
    assert page.count("<svg") == 3
    assert not re.search(r"<(script|img|iframe|object|embed|base)\b", page)
    assert "://" not in page
    assert str(Path.home()) not in page
    evil = "<script>alert(1)</script>\"'&\x07"
    broken = copy.deepcopy(held)
    broken["truth"]["file"] = broken["lowland"] = broken["created"] = broken["supernets"][0]["run"] = evil
    broken["tables"][0]["rows"][0]["published"] = broken["tables"][2]["title"] = broken["curves"][0]["group"] = evil
    broken["differences"][0]["first"] = broken["settings"]["space"] = broken["supernets"][0]["data"] = evil
    broken["environment"][evil] = evil
    shown = genas.genas_page.render(broken)
    assert "<script" not in shown.lower()
    assert "\x07" not in shown
    assert shown.count("&lt;script") > 8


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (["--sample", "5"], "at least 10"),
        (["--truth-column", "acc"], "no column 'acc'"),
        (["--supernet", "/nowhere"], "/nowhere is not a run directory"),
        (["--set", "measure.draws=0"], "measure.draws"),
        (["--set", "supernet.epochs=9"], "supernet differs"),
    ],
)
def test_bad_arguments_are_one_sentence(
    change: list[str],
    words: str,
    genas: ModuleType,
    finished: tuple[Path, Path],
    supernets: list[Path],
    truth: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        genas.main(arguments(supernets, truth, finished[0], tmp_path / "out", *change))
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_supernets_must_differ_in_their_seed_only(
    genas: ModuleType,
    finished: tuple[Path, Path],
    supernets: list[Path],
    truth: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        genas.main(arguments([*supernets, supernets[0]], truth, finished[0], tmp_path / "out"))
    assert "one supernet per seed" in capsys.readouterr().err
    other = made(tmp_path / "other", {"seed": 9, "supernet": {"epochs": 1}}, last="supernet")
    with pytest.raises(SystemExit):
        genas.main(arguments([*supernets, other], truth, finished[0], tmp_path / "out"))
    assert "other settings" in capsys.readouterr().err
