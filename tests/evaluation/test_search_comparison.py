"""Searches beside one another: means, ranks, what is collapsed, sentences that the figures support, and the page."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from lowland.evaluation.search_comparison import SearchComparison, paired
from lowland.report import search_comparison_page
from made_up_searches import comparison


def document(results: SearchComparison) -> dict[str, Any]:
    facts = {
        "lowland": "0",
        "space": "nasbench201",
        "preset": "quick",
        "budget": 600.0,
        "seeds": [0, 1, 2],
        "data": {"name": "digits"},
        "accuracies": {"column": "test_acc"},
        "environment": {"torch": "2"},
    }
    return json.loads(json.dumps({**facts, **results.to_json()}))


def test_means_and_paired_differences_have_student_intervals() -> None:
    spos, darts, _ = comparison().rows
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert spos.accuracy.value == pytest.approx(93.2)
    assert spos.accuracy.high - 93.2 == pytest.approx(half)
    assert paired(spos, darts).value == pytest.approx(93.2 - 168.7 / 3)
    assert paired(spos, darts).sign == 1
    assert comparison().relative(darts) == pytest.approx(1.0)
    assert comparison().relative_training(darts) == pytest.approx(2.0)
    assert [row.name for row in comparison().ordered] == ["spos", "random", "darts"]


def test_average_ranks_and_the_critical_difference_of_nemenyi() -> None:
    found = comparison().ranks
    assert found is not None
    average, difference, p = found
    assert average == [1.0, 3.0, 2.0]
    # q = 2.343 for three groups (Demšar 2006, Table 5a).
    assert difference == pytest.approx(2.343 * math.sqrt(3 * 4 / (6 * 3)), rel=1e-3)
    assert p == pytest.approx(0.0498, abs=1e-3)
    assert comparison(darts=(93.1, 93.3, 93.2), random=(93.1, 93.3, 93.2)).ranks[0] == [2.0, 2.0, 2.0]
    assert SearchComparison(rows=comparison().rows[:2], accuracy="retrained").ranks is None


def test_sentences_say_what_the_figures_support() -> None:
    best, chance, collapse, flat = comparison().sentences
    assert best.startswith(
        "spos finds the most accurate networks, 93.20 % on average over 3 seeds; next is random, 1.03"
    )
    assert "more than chance" in best
    assert "favours it" in best
    assert chance.startswith(
        "spos finds more accurate networks than random; darts finds less accurate ones than random"
    )
    assert collapse == "Collapse, more than half of the operations found being skips: darts in 1 of 3 searches."
    assert flat.startswith("Among the 9 different networks found, the flatter ones are more accurate (Kendall's τ 1.00")
    unclear = comparison(spos=(92.1, 92.0, 92.6)).sentences
    assert "which these seeds cannot tell from chance" in unclear[0]
    assert "spos cannot be told from random" in unclear[1]
    alone = SearchComparison(rows=comparison().rows[:1], accuracy="retrained")
    assert alone.sentences == ("spos finds networks of 93.20 % on average over 3 seeds; there is no other search "
                               "beside it.",)  # fmt: skip


def test_a_cell_that_no_input_passes_is_a_collapse_of_its_own() -> None:
    rows = comparison().rows
    (darts,) = [row for row in rows if row.name == "darts"]
    lost = [replace(each, cut=not each.collapsed) for each in darts.found]
    found = SearchComparison(rows=(rows[0], replace(darts, found=tuple(lost))), accuracy="retrained")
    assert [row.collapsed for row in found.rows] == [0, 3]
    assert (
        "Collapse, more than half of the operations found being skips: darts in 1 of 3 searches. Collapse, no input "
        "reaching the output of a cell, since “none” was chosen on the way: darts in 2 of 3 searches."
    ) in found.sentences


def test_all_of_it_goes_through_json() -> None:
    results = comparison()
    assert SearchComparison.from_json(json.loads(json.dumps(results.to_json()))) == results


def test_the_page_shows_every_figure_and_escapes_every_text() -> None:
    page = search_comparison_page.render(document(comparison()))
    for text in ("Which search finds the best networks?", *comparison().sentences, "1 of 3", "10 min 00 s for each"):
        assert text.replace("'", "&#39;") in page
    # Accuracy against time, intervals, ranks, skips; and the mark.
    assert page.count("<svg") == 5
    evil = document(comparison())
    evil["rows"][1]["name"] = "<script>alert(1)</script>"
    assert "<script>" not in search_comparison_page.render(evil)
    few = document(SearchComparison(rows=comparison().rows[:1], accuracy="retrained"))
    assert search_comparison_page.render(few).count("<svg") == 3
