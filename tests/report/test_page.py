"""The report page: complete, self-contained, escaped, the same bytes every time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from made_up_facts import darts_cell, make_pareto, make_pareto_facts, make_search, nasbench_cell

from lowland.core.errors import RunError
from lowland.report import Curve, Estimate, Pareto, ReportFacts, Shift, ShiftGroup, Standing, render, write

EVIL = "<script>alert(1)</script>\"'&$x$\x07\u202e"


class Reader(HTMLParser):
    """Tags, attributes and visible text; refuses tags that do not match."""

    VOID = ("meta", "link", "br", "img")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def test_everything_is_said(facts: ReportFacts) -> None:
    shown = " ".join(Reader(render(facts)).text.replace("\u00a0", " ").split())
    for expected in (
        "clothes", "15,625 architectures", "angle+flatness", "90.40 ± 0.85", "1,200 test images", "70.25 ± 0.91",
        "316 k", "limit 400 k", "47.2 M", "nor_conv_3x3", "gaussian noise", "80.5", "2 could not be scored",
        "960 search images", "3 noise draws per σ on 500 images", "14 min 05 s", "seed: 7", 'load("X")', "class 9",
        "torch", "12 epochs",
    ):  # fmt: skip
        assert expected in shown, expected
    assert "To do so" not in shown


def test_the_page_needs_nothing_else(facts: ReportFacts) -> None:
    page = render(facts)
    reader = Reader(page)
    assert not {"script", "iframe", "object", "embed", "base"} & set(reader.tags)
    for tag, name, value in reader.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("href", "src", "xlink:href"):
            kept = tag == "img" and (value or "").startswith("data:image/png;base64,")
            assert (value or "").startswith("#") or value == "data:," or kept
    assert "://" not in page
    assert "@import" not in page
    assert set(re.findall(r"url\((.)", page)) <= {"#"}
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert reader.tags.count("h1") == 1
    pictures = [value for tag, name, value in reader.attributes if tag == "svg" and name == "aria-label"]
    assert len(pictures) == 9
    assert all(pictures)


def test_every_text_is_escaped(facts: ReportFacts) -> None:
    graph = nasbench_cell("cccccc")
    evil_graph = replace(
        graph, title=EVIL, nodes=(EVIL, *graph.nodes[1:]), edges=((EVIL, "1", EVIL), ("1", "out", "skip_connect"))
    )
    assert facts.search is not None
    assert facts.training is not None
    shift = replace(
        facts.networks[0].shift,  # type: ignore[type-var]
        by={EVIL: {1: 50.0, 3: 40.0}},
        errors={},
        groups=(ShiftGroup(name=EVIL, corruptions=(EVIL,), error=Estimate(value=55.0)),),
    )
    evil = replace(
        facts,
        run=EVIL,
        created=EVIL,
        version=EVIL,
        asked=replace(
            facts.asked,
            data=replace(facts.asked.data, name=EVIL, classes=(EVIL, "b")),
            space=EVIL,
            measure=EVIL,
            strategy=EVIL,
            settings=((EVIL, EVIL),),
        ),
        config_yaml=EVIL,
        environment=((EVIL, EVIL),),
        loading=EVIL,
        cells=(evil_graph,),
        search=replace(facts.search, candidates=tuple(replace(c, origin=EVIL) for c in facts.search.candidates)),
        networks=(replace(facts.networks[0], genotype=EVIL, shift=shift),),
        curves=tuple(replace(curve, label=EVIL) for curve in facts.curves),
        training=replace(facts.training, label=EVIL, watched=EVIL),
        stages=(replace(facts.stages[0], name=EVIL, detail=EVIL),),
    )
    page = render(evil)
    assert "<script" not in page.lower()
    assert "\x07" not in page
    assert Reader(page).text.count("<script>alert(1)</script>") >= 25
    missing = replace(evil, search=None, commands=replace(evil.commands, search=EVIL))
    assert "<script" not in render(missing).lower()


def test_the_same_facts_give_the_same_bytes_in_another_process(facts: ReportFacts, tmp_path: Path) -> None:
    write(facts, tmp_path / "report.html")
    once = (tmp_path / "report.html").read_bytes()
    assert render(facts).encode() == once
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import made_up_facts; from lowland.report import render;"
        "sys.stdout.buffer.write(render(made_up_facts.make_facts()).encode())"
    )
    again = subprocess.run([sys.executable, "-c", code, str(Path(__file__).parent)], capture_output=True, check=True)
    assert again.stdout == once


@pytest.mark.parametrize(
    ("without", "command"),
    [
        ({"search": None, "networks": (), "cells": ()}, "lowland resume X"),
        ({"training": None}, "lowland retrain X"),
        ({"curves": ()}, "lowland evaluate X"),
    ],
)
def test_a_missing_stage_names_its_command(facts: ReportFacts, without: dict[str, object], command: str) -> None:
    shown = Reader(render(replace(facts, **without))).text  # type: ignore[arg-type]
    assert f"To do so, run {command}" in shown


def test_a_run_with_nothing_yet_and_one_whose_candidates_all_failed(facts: ReportFacts) -> None:
    bare = replace(
        facts, stages=(), search=None, cells=(), networks=(), curves=(), training=None, loading="", environment=()
    )
    assert "No search has been run" in Reader(render(bare)).text
    unread = replace(bare, asked=replace(facts.asked, data=replace(facts.asked.data, classes=(), image_size=0)))
    assert "0 × 0" not in Reader(render(unread)).text
    assert facts.search is not None
    failed = replace(bare, search=replace(facts.search, candidates=(), failed=9))
    assert "All 9 candidates failed" in Reader(render(failed)).text


def test_a_large_search_stays_small(facts: ReportFacts) -> None:
    page = render(replace(facts, search=make_search(20_000), cells=(darts_cell(full=True),) * 2))
    assert len(page.encode()) < 1_500_000
    assert "20,000 candidates" in page
    assert "with every improvement" in page


def test_a_sample_says_its_n(facts: ReportFacts) -> None:
    search = make_search(2000)
    page = Reader(render(replace(facts, search=replace(search, scored=100_000)))).text
    assert "Drawn: a sample of 2,000 of 100,000, with every improvement." in page
    assert "100,000 candidates scored" in page
    assert "Drawn: " not in Reader(render(facts)).text


def test_scores_that_are_only_an_order_are_places(facts: ReportFacts) -> None:
    search = make_search(60)
    ranked = sorted(search.candidates, key=lambda each: -each.score)
    placed = {each.index: place for place, each in enumerate(ranked, start=1)}
    candidates = tuple(replace(each, score=1e9 + each.score, place=placed[each.index]) for each in search.candidates)
    networks = tuple(replace(each, score=None, place=Standing(each.rank + 2, 60)) for each in facts.networks)
    shown = replace(facts, search=replace(search, candidates=candidates, ordered=True), networks=networks)
    page = render(shown)
    said = Reader(page).text
    assert "3 of 60" in said
    assert "The ring marks the winner, 1 of 60." in said
    assert "place by the measure (1 is best)" in page
    assert "Score" not in said
    assert "e+09" not in page
    assert "1000000" not in page
    untested = tuple(replace(each, test=None, shift=None) for each in networks)
    assert "Best candidate" in Reader(render(replace(shown, networks=untested))).text


def test_losses_on_images_that_were_learned_from_say_so(facts: ReportFacts) -> None:
    for learned, said in ((True, "It was trained on these search images, too"), (False, "It was not trained on these")):
        page = render(replace(facts, asked=replace(facts.asked, trained_on_search=learned)))
        (caption,) = [each for each in re.findall(r"<figcaption>(.*?)</figcaption>", page) if "retraining from" in each]
        assert said in caption


def test_code_can_be_reached_and_scrolled_by_keyboard(facts: ReportFacts) -> None:
    page = render(facts)
    blocks = re.findall(r"<pre\b[^>]*>", page)
    assert len(blocks) == 2
    for block in blocks:
        assert 'tabindex="0"' in block
        assert 'role="region"' in block
        assert re.search(r'aria-label="[^"]+"', block)
    assert ".code:focus-visible" in page


def test_long_names_wrap_and_rows_stay_whole_in_print(facts: ReportFacts) -> None:
    page = render(facts)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    printed = style.split("@media print", 1)[1]
    assert "overflow-wrap:break-word" in rule(style, "body")
    for names in (".tile .note", ".lead em", ".ranking th:first-child"):
        assert "overflow-wrap:anywhere" in rule(style, names), names
    assert "tr" in rule_with(printed, "break-inside:avoid")
    assert "break-before:avoid" in rule(printed, ".results .genotype")  # a network has two rows
    assert "white-space:pre-wrap" in rule(printed, ".code")  # paper does not scroll


def rule(style: str, selector: str) -> str:
    """The declarations of a selector that stands alone."""
    found = re.findall(rf"(?:^|[}}{{\n]){re.escape(selector)}\{{([^}}]*)\}}", style)
    return ";".join(found)


def rule_with(style: str, declaration: str) -> list[str]:
    """The selectors of the rule that holds one declaration."""
    selectors = re.findall(rf"([^}}{{]*)\{{{re.escape(declaration)}\}}", style)
    return [selector.strip() for found in selectors for selector in found.split(",")]


def test_few_classes_have_no_top5_and_one_image_no_error(facts: ReportFacts) -> None:
    test = replace(
        facts.networks[0].test, top5=None, top5_standard_error=None, n=1, top1_standard_error=None  # type: ignore[type-var]
    )  # fmt: skip
    shift = replace(facts.networks[0].shift, n=1, standard_error=None)  # type: ignore[type-var]
    shown = Reader(render(replace(facts, networks=(replace(facts.networks[0], test=test, shift=shift),)))).text
    assert "Top-5 says nothing for five classes or fewer" in shown


def test_shift_is_shown_by_group(facts: ReportFacts) -> None:
    shown = " ".join(Reader(render(facts)).text.replace("\u00a0", " ").split())
    assert "mean corruption error, over all corruptions and severities, is 29.75 ± 0.91 %" in shown
    assert "By group: noise 29.8 ± 1.1 %, weather 29.8 ± 1.1 %." in shown
    assert "AlexNet" not in shown
    shift = replace(facts.networks[0].shift, normalised_error=76.7)  # type: ignore[type-var]
    normalised = replace(facts, networks=(replace(facts.networks[0], shift=shift),))
    assert "mCE of ImageNet-C is 76.7 %" in Reader(render(normalised)).text


def test_a_pareto_run_shows_its_front_instead_of_a_score() -> None:
    facts = make_pareto_facts()
    assert facts.pareto is not None
    page = render(facts)
    reader = Reader(page)
    shown = " ".join(reader.text.replace("\u00a0", " ").split())
    for expected in (
        f"{len(facts.pareto.front)} of 120 candidates are not dominated", "the knee of the Pareto front is retrained",
        "with k = 3.200", "σ = 0.1", "40 at random, then 10 iterations of up to 8", "1 could not be scored",
        "Objectivesflatnas(alpha=0.5), params", "in units of the random sample's box", "mean of 5 draws",
    ):  # fmt: skip
        assert expected in shown, expected
    assert "greater is better; its error" not in shown
    assert 'id="progress' not in page
    table = page[page.index('<table class="results front">') :]
    for place in facts.pareto.front:
        assert facts.pareto.points[place].candidate.genotype in table
    assert re.findall(r"<b>knee</b> <code>(.*?)</code>", table) == [
        facts.pareto.points[facts.pareto.pick].candidate.genotype
    ]
    pictures = [value for tag, name, value in reader.attributes if tag == "svg" and name == "aria-label"]
    assert len(pictures) == 9 - 2 + 4  # no score plots; front, hypervolume, one surrogate, R against error
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))


def test_a_pareto_run_not_yet_tested_has_the_knee_among_its_key_figures() -> None:
    facts = make_pareto_facts("error", "robustness", "params")
    bare = replace(facts, networks=tuple(replace(network, test=None, shift=None) for network in facts.networks))
    shown = " ".join(Reader(render(bare)).text.split())
    assert "error at the knee" in shown
    assert "Best score" not in shown
    assert "and is the network that was retrained" not in shown
    assert "The other pairs of objectives" in shown


def test_every_text_of_a_pareto_run_is_escaped() -> None:
    facts = make_pareto_facts("accuracy+flatness", "latency")
    pareto = facts.pareto
    assert pareto is not None
    assert facts.search is not None
    first, second = pareto.objectives
    evil = replace(
        pareto,
        objectives=(replace(first, label=EVIL, unit=EVIL), replace(second, label=EVIL, unit=EVIL)),
        points=tuple(
            replace(point, candidate=replace(point.candidate, genotype=EVIL, origin=EVIL)) for point in pareto.points
        ),
        iterations=tuple(
            replace(each, fits=tuple(replace(fit, objective=EVIL, kind=EVIL) for fit in each.fits))
            for each in pareto.iterations
        ),
        hypervolume=EVIL,
    )
    search = replace(facts.search, candidates=tuple(point.candidate for point in evil.points))
    page = render(replace(facts, pareto=evil, search=search, asked=replace(facts.asked, objectives=(EVIL, EVIL))))
    assert "<script" not in page.lower()
    assert "\x07" not in page
    assert Reader(page).text.count("<script>alert(1)</script>") > 100


def test_a_large_pareto_search_stays_small() -> None:
    page = render(make_pareto_facts("flatnas(alpha=0.5)", "params", count=2000))
    assert len(page.encode()) < 2_500_000
    assert "Drawn: " in page


def test_pareto_facts_after_json() -> None:
    made = make_pareto("flatnas(alpha=0.5)", "params", count=48)
    told = {
        "objectives": [asdict(objective) for objective in made.objectives],
        "measure": "accuracy+robustness",
        "k": 3.2,
        "reference": {"ideal": [0.0, 0.0], "nadir": [1.0, 1.0], "hypervolume": made.hypervolume},
        "iterations": [
            {
                "iteration": each.iteration,
                "proposed": each.proposed,
                "scored": each.scored,
                "k": each.k,
                "hypervolume": each.hypervolume,
                "surrogates": [
                    {"objective": fit.objective, "kind": fit.kind, "tau": fit.tau, "tau_std": fit.std, "tried": {}}
                    for fit in each.fits
                ],
            }
            for each in made.iterations
        ],
        "candidates": [
            {
                "genes": [place],
                "generation": point.candidate.generation,
                "origin": point.candidate.origin,
                "objectives": [estimate.value for estimate in point.objectives],
                "standard_errors": [estimate.standard_error for estimate in point.objectives],
                "rank": 0,
                "feasible": True,
            }
            for place, point in enumerate(made.points)
        ],
        "front": list(made.front),
        "pick": made.pick,
        "rule": made.rule,
    }
    candidates = [point.candidate for point in made.points]
    assert Pareto.of(json.loads(json.dumps(told)), candidates) == made


def test_facts_from_results_after_json() -> None:
    result = {"mean": 50.0, "standard_error": 1.0, "by": {"fog": {1: 60.0, 2: 40.0}}, "n": 9, "severities": [1, 2]}
    assert Shift.of(json.loads(json.dumps(result))) == Shift.of(result)  # as kept before errors by group were
    errors = {"fog": {"error": 50.0, "standard_error": 2.0}}
    groups = {"weather": errors["fog"] | {"corruptions": ["fog"]}}
    more = result | {"corruption_errors": errors, "group_errors": groups, "normalised_error": 80.0}
    shift = Shift.of(json.loads(json.dumps(more)))
    estimate = Estimate(value=50.0, standard_error=2.0, n=9)
    assert shift.errors == {"fog": estimate}
    assert shift.groups == (ShiftGroup(name="weather", corruptions=("fog",), error=estimate),)
    assert shift.normalised_error == 80.0
    curve = {"sigmas": [0.0, 0.1], "loss": [1.0, 2.0], "standard_error": [0.0, None], "draws": 1}
    assert Curve.of(curve, label="a", kind="winner", images=5).errors == (0.0, None)


def test_importing_the_report_does_not_import_matplotlib() -> None:
    code = "import sys, lowland.report; assert 'matplotlib' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_in_the_way_is_an_error(facts: ReportFacts, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="file is in the way"):
        write(facts, tmp_path / "file" / "report.html")
