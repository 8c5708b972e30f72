"""Plots say what the facts say."""

from __future__ import annotations

import re
from dataclasses import replace

import matplotlib
import numpy as np
from made_up_facts import make_curve, make_search

from lowland.report import Epoch, ScoredCandidate, Search, Training
from lowland.report.figures import plots


def test_thinning_keeps_the_best_so_far_and_the_winner() -> None:
    search = make_search(20_000)
    kept = plots.thinned(search)
    assert len(kept) < 1.05 * plots.MOST_POINTS
    full = np.maximum.accumulate([candidate.score for candidate in search.candidates])
    for candidate in kept:
        assert max(other.score for other in kept if other.index <= candidate.index) == full[candidate.index]
    assert any(candidate.index == search.winner for candidate in kept)
    assert plots.thinned(make_search(100)) == list(make_search(100).candidates)


def test_outliers_are_counted_not_hidden() -> None:
    search = make_search(200)
    low = tuple(
        replace(candidate, score=-1e6) if candidate.index in (3, 5) and candidate.index != search.winner else candidate
        for candidate in search.candidates
    )
    assert "(2 below the axis)" in plots.progress(replace(search, candidates=low))
    assert "below the axis" not in plots.progress(make_search(5))


def test_a_single_candidate_and_equal_scores() -> None:
    one = ScoredCandidate(index=0, generation=0, origin="seeded", parameters=1, macs=1, score=2.0)
    for count in (1, 3):
        search = Search(candidates=tuple(replace(one, index=index) for index in range(count)), winner=0)
        assert plots.progress(search).startswith("<svg")
        assert "seeded" in plots.size(search)


def test_loss_axis_is_logarithmic_only_where_losses_span_decades() -> None:
    flat = plots.landscape([make_curve("winner", "winner", 10)], "x")
    steep = plots.landscape([make_curve("winner", "winner", 10_000)], "x")
    assert ">100<" in steep
    assert ">1<" in steep
    assert ">0.50<" in flat


def test_curves_of_one_draw_and_of_zero_loss() -> None:
    one = replace(make_curve("winner", "winner", 10), errors=(0.0, None, None), draws=1)
    assert plots.landscape([one], "x")
    assert plots.landscape([replace(one, loss=(0.0, 0.0, 5.0))], "x")


def test_training_shows_accuracy_only_where_there_is_one() -> None:
    epochs = tuple(Epoch(epoch=number, loss=1.0) for number in (1, 2))
    assert len(plots.training(Training(label="a", epochs=epochs))) == 1
    watched = tuple(replace(epoch, watched_accuracy=50.0) for epoch in epochs)
    loss, accuracy = plots.training(Training(label="a", epochs=watched, watched="search split"))
    assert "search split" in accuracy
    assert "search split" not in loss


def test_a_dollar_is_a_dollar_and_settings_of_matplotlib_are_left_alone() -> None:
    before = dict(matplotlib.rcParams)
    drawn = plots.landscape([make_curve("a$_b$", "retrained", 1)], "x")
    assert ">a$_b$<" in drawn
    assert dict(matplotlib.rcParams) == before


def test_figures_are_themed_and_own_their_ids() -> None:
    drawn = plots.progress(make_search(30))
    assert not re.search(r"#[0-9a-f]{6}", drawn)
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert len(ids) == len(set(ids))
    assert all(name.startswith("progress-") for name in ids)
    assert set(re.findall(r'href="#([^"]+)"', drawn)) <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", drawn)) <= set(ids)
