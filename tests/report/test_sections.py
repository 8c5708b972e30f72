"""Sections of suites: found by name, and for those without one what they say of themselves, escaped."""

from __future__ import annotations

import pytest
from made_up_facts import make_facts

from lowland.evaluation.section import Estimate, Figure, Line, Series, SuiteSection, Table
from lowland.report import Judged, render
from lowland.report.sections import classification, corruptions, generic, landscape, of_suite, own

SECTION = SuiteSection(
    title="A <title>",
    paragraphs=("First & last.",),
    tables=(
        Table(
            columns=("Network", "error, %", "said"),
            rows=(("1", (Estimate(value=12.3, standard_error=0.45, n=9), "<i>")), ("2", (None, ""))),
            title="Errors",
            note="Nine images.",
        ),
    ),
    series=(
        Series(
            x_label="$x$", y_label="y, %", lines=(Line(label="one", x=(0.0, 1.0), y=(1.0, 2.0), errors=(None, 0.1)),)
        ),
    ),
)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("classification", classification),
        ("corruptions", corruptions),
        ("landscape", landscape),
        ("somebody's", generic),
        ("generic", generic),
        ("pareto", generic),  # a section of another subject
        ("__init__", generic),
    ],
)
def test_the_section_of_a_suite(name: str, module: object) -> None:
    assert of_suite(name) is module
    assert (own(name) is None) == (module is generic)


def test_a_suite_without_a_section_of_its_own_is_shown() -> None:
    figure = Figure(label="dark <b>", value=12.3, unit="%", standard_error=0.45, n=1234)
    judged = Judged(suite="dark", results={}, figures={"1": (figure,), "2": (figure,)}, section=SECTION)
    page = render(generic.fill(make_facts(), judged))
    for text in ("A &lt;title&gt;", "First &amp; last.", "Errors", "error, %", "12.30", "&lt;i&gt;", "Nine images."):
        assert text in page, text
    assert page.count("dark &lt;b&gt;") == 1  # the tile of the winner
    assert "n = 1,234" in page
    assert "<title>A" not in page
    assert 'id="suite-0-0' in page


def test_a_section_comes_back_from_json() -> None:
    assert SuiteSection.from_json(SECTION.to_json()) == SECTION


@pytest.mark.parametrize(("sizes", "unequal"), [((90, 10), True), ((50, 40), False)])
def test_unequal_test_classes_have_a_section_of_their_own(sizes: tuple[int, int], unequal: bool) -> None:
    recall = [
        {"value": 90.0, "standard_error": 3.0, "n": sizes[0]},
        {"value": 41.25, "standard_error": 16.0, "n": sizes[1]},
    ]
    one = {"top1": 85.0, "nll": 1.0, "ece": 2.0, "n": 100, "balanced": 65.625, "recall": recall}
    results = {"networks": {"1": one}, "classes": ["many", "few <i>"]}
    page = render(classification.fill(make_facts(), Judged(suite="classification", results=results)))
    for text in ("Recall of each class", "few &lt;i&gt;", "<td>41<small>\xa0±\xa016</small></td>", "Balanced accuracy"):
        assert (text in page) == unequal, text
