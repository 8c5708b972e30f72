"""Class by class and picture by picture: few classes and many, odd names, pictures that are none, runs of before."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_up_facts import PIXEL, make_details, make_facts

from lowland.core.errors import RunError
from lowland.evaluation.results import Classification, ClassificationResults
from lowland.report import Judged, render
from lowland.report.sections import classification


def test_few_classes_have_a_confusion_matrix_and_pictures() -> None:
    page = render(make_facts())
    assert "Confusion matrix" in page
    assert "Most often confused" not in page
    assert page.count(f'<img src="{PIXEL}"') == 6
    assert "class 0 (1.0&nbsp;%), said class 1 (90.0&nbsp;%)" in page
    assert 'id="reliability-' in page


def test_many_classes_are_listed_worst_first_and_their_pairs() -> None:
    names = tuple(f"kind {number}" for number in range(30))
    made = make_details(30, 50)
    few = replace(made, n=(*made.n[:29], 0), right=(*made.right[:28], 3, 0))
    page = render(replace(make_facts(), details=few, class_names=names))
    assert "Most often confused" in page
    assert "Confusion matrix" not in page
    assert "The other 10 classes" in page
    assert page.index(">kind 28<") < page.index(">kind 0<")  # the least accurate first
    assert "–" in page[page.rindex(">kind 29<") :]  # of which there is no test image


def test_names_of_classes_are_escaped() -> None:
    names = ("<script>", '" onload="x', *(f"c{number}" for number in range(8)))
    page = render(replace(make_facts(), class_names=names))
    assert "<script>" not in page
    assert '" onload="x' not in page


@pytest.mark.parametrize("picture", ["http://elsewhere/x", "data:text/html;base64,AA==", 'data:image/png;base64,A"'])
def test_what_is_no_picture_is_refused(picture: str) -> None:
    made = make_details(10, 120)
    with pytest.raises(RunError, match="no picture"):
        render(replace(make_facts(), details=replace(made, worst=(replace(made.worst[0], picture=picture),))))


def test_runs_judged_before_say_how_to_get_it() -> None:
    test = Classification(top1=90.0, nll=0.3, ece=2.0, n=100)
    judged = Judged(suite="classification", results=ClassificationResults({"1": test}).to_json())
    facts = classification.fill(make_facts(), judged)
    assert facts.details is None
    facts = replace(facts, commands=replace(facts.commands, details="lowland resume X --restart evaluate"))
    assert "lowland resume X --restart evaluate" in render(facts)


def test_details_go_through_json_and_back() -> None:
    test = Classification(top1=90.0, nll=0.3, ece=2.0, n=100)
    found = ClassificationResults({"1": test}, {"1": make_details(3, 20)}, ("a", "b", "c"))
    assert ClassificationResults.from_json(found.to_json()) == found
