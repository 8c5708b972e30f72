"""The sentence that answers whether a search was worth it, in all cases."""

from __future__ import annotations

import json

from lowland.evaluation.comparison import ComparisonResults, NetworkRow, SeedRow
from lowland.evaluation.paired import Difference


def difference(value: float, low: float | None, high: float | None, seeds: int = 3) -> Difference:
    return Difference(value=value, low=low, high=high, over="seeds" if seeds > 1 else "images", n=max(seeds, 1))


def row(name: str, top1: float, corrupted: float | None = None, **changes: object) -> NetworkRow:
    values = {
        "family": "nasbench201",
        "text": name,
        "source": "",
        "channels": 16,
        "cells": 1,
        "parameters": 290_000,
        "macs": 30_000_000,
        "seeds": (SeedRow(seed=0, top1=top1, corrupted=corrupted, seconds=None),),
    }
    return NetworkRow(name=name, **{**values, **changes})  # type: ignore[arg-type]


def results(*references: NetworkRow, corrupted: float | None = None) -> ComparisonResults:
    return ComparisonResults(
        networks=(row("delivered", 90.0, corrupted), *references), images=1200, corrupted_images=600
    )


def test_the_best_reference_is_named_and_the_answer_is_in_plain_words() -> None:
    worse = row("all-conv3x3", 88.0, difference=difference(2.0, 1.0, 3.0))
    better = row("resnet-cell", 89.2, difference=difference(0.8, 0.1, 1.5))
    (sentence,) = results(worse, better).sentences
    assert sentence == (
        "The delivered network is 0.8 points (0.1 … 1.5) more accurate than the best reference, resnet-cell, at 0.29 M "
        "parameters (3 seeds)."
    )
    (sentence,) = results(row("resnet-cell", 91.0, difference=difference(-1.0, -1.6, -0.4))).sentences
    assert "is 1.0 points (0.4 … 1.6) less accurate than the best reference, resnet-cell" in sentence
    (sentence,) = results(row("resnet-cell", 89.8, difference=difference(0.2, -0.4, 0.8, seeds=1))).sentences
    assert sentence == (
        "The accuracy of the delivered network cannot be told from that of the best reference, resnet-cell: the "
        "difference is +0.2 points (−0.4 … +0.8) at 0.29 M parameters (1 seed, 1 test images)."
    )
    (sentence,) = results(row("a", 90.0, difference=difference(0.0, None, None))).sentences
    assert "the difference is 0.0 points at" in sentence


def test_corruption_has_a_best_reference_of_its_own() -> None:
    clean = row("a", 89.0, 60.0, difference=difference(1.0, 0.5, 1.5), corrupted_difference=difference(4.0, 3.0, 5.0))
    robust = row(
        "b", 88.0, 65.0, difference=difference(2.0, 1.5, 2.5), corrupted_difference=difference(-1.0, -2.0, -0.5)
    )
    first, second = results(clean, robust, corrupted=64.0).sentences
    assert "best reference, a," in first
    assert second.startswith("Under corruption, the delivered network is 1.0 points (0.5 … 2.0) less accurate than")
    assert "best reference, b," in second


def test_a_larger_reference_is_told_with_its_size() -> None:
    large = row("timm:resnet10t", 89.0, parameters=4_930_000, difference=difference(1.0, 0.5, 1.5))
    (sentence,) = results(large).sentences
    assert "with 0.29 M parameters against 4.93 M (3 seeds)" in sentence


def test_results_survive_json() -> None:
    found = results(row("a", 89.0, difference=difference(1.0, 0.5, 1.5), lacks=("drop_path",)))
    assert ComparisonResults.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_more_arithmetic_than_the_reference_is_told() -> None:
    small = row("resnet-cell", 89.0, macs=17_000_000, difference=difference(1.0, 0.5, 1.5))
    (sentence,) = results(small).sentences
    assert "at 0.29 M parameters and 1.8 times its multiply-accumulates (3 seeds)" in sentence


def test_where_norms_differ_the_sentence_says_so_and_how_to_tell_what_it_gains() -> None:
    reference = row("resnet-cell", 88.0, difference=difference(2.0, 1.0, 3.0))
    found = ComparisonResults(
        networks=(row("delivered", 90.0, norm="ibn"), reference), images=1200, corrupted_images=600
    )
    assert found.sentences[-1] == (
        "The delivered network has instance-batch norm, the reference has not: ask `lowland compare --with "
        "resnet-cell@ibn` what the norm alone gains."
    )
    assert ComparisonResults.from_json(found.to_json()) == found
    other = row("timm:resnet10t", 88.0, family="timm", difference=difference(2.0, 1.0, 3.0))
    found = ComparisonResults(networks=(row("delivered", 90.0, norm="ibn"), other), images=1200, corrupted_images=600)
    assert found.sentences[-1] == "The delivered network has instance-batch norm, the reference has not."


def test_learned_weights_are_no_equal_terms_and_do_not_answer_the_question() -> None:
    usual = row("resnet-cell", 89.2, difference=difference(0.8, 0.1, 1.5))
    begun = {"learned": "timm's resnet10t.c3_in1k", "difference": difference(-4.0, -5.0, -3.0)}
    learned = row("timm:resnet10t@pretrained", 94.0, **begun)
    found = results(usual, learned)
    assert found.best is usual
    first, second = found.sentences
    assert "best reference, resnet-cell" in first
    assert second == (
        "timm:resnet10t@pretrained began with weights learned elsewhere (timm's resnet10t.c3_in1k) and the delivered "
        "network with random ones: these are no equal terms, on which it is 4.0 points (3.0 … 5.0) more accurate."
    )
    first, second = results(learned).sentences
    assert "best reference, timm:resnet10t@pretrained" in first
    assert second.endswith("these are no equal terms.")
    assert ComparisonResults.from_json(json.loads(json.dumps(found.to_json()))) == found
