"""Tables fit the terminal, and no name or figure is ever broken in two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

from lowland import spaces
from lowland.app.display import listing_lines, member_lines, ranking_lines, results, status_lines
from lowland.app.tables import listing, table
from lowland.core.registry import MEASURES, SPACES, STRATEGIES, SUITES, Entry, Setting
from lowland.evaluation.section import Figure

WIDTHS = (80, 200)


def rows_of(space: str, count: int = 2) -> list[dict[str, Any]]:
    """Entries of a finished run with figures as wide as they come."""
    rng = np.random.default_rng(0)
    figures = {
        "parameters": 123_456_789,
        "macs": 987_654_321,
        "score": -0.0123456,
        "score_error": 0.00123,
        "figures": [
            Figure(label="test top-1", value=93.125, unit="%", standard_error=0.253),
            Figure(label="corrupted", value=73.125, unit="%", standard_error=0.253),
        ],
    }
    genotypes = [spaces.get(space).sample(rng) for _ in range(count)]
    return [{"rank": rank, "genes": list(each.genes), **figures} for rank, each in enumerate(genotypes, start=1)]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("space", ["nasbench201", "darts", "mobilenetv3-small"])
def test_results_keep_genotypes_and_figures_whole(space: str, width: int) -> None:
    entries = rows_of(space)
    lines = [line.plain for line in results(entries, width)]
    assert max(map(cell_len, lines)) <= width
    for entry in entries:
        genes = ",".join(map(str, entry["genes"]))
        (place,) = [index for index, line in enumerate(lines) if genes in line]
        assert lines[place].split()[0] == str(entry["rank"])
        figures = " ".join(lines[place : place + 2])
        for figure in ("123 M", "988 M", "-0.01235 ± 0.0012", "93.12 ± 0.25 %", "73.12 ± 0.25 %"):
            assert figure in figures
    for heading in ("rank", "genotype", "parameters", "MACs", "score", "test top-1", "corrupted"):
        assert any(heading in line for line in lines[:2])


def test_where_scores_are_only_an_order_the_place_is_shown() -> None:
    entries = [entry | {"place": f"{place} of 100"} for place, entry in enumerate(rows_of("nasbench201"), start=1)]
    shown = "\n".join(line.plain for line in results(entries, 200))
    assert "1 of 100" in shown
    assert "2 of 100" in shown
    assert "-0.0123" not in shown
    assert "score" not in shown


def test_the_best_so_far_has_a_score_or_a_place() -> None:
    status: dict[str, Any] = {
        "path": "runs/a", "created": "now", "active": True, "checkpoints": None, "progress_lost": False,
        "stages": {}, "progress": None, "seconds_left": None,
    }  # fmt: skip
    for best, said in (
        ({"genotype": "|a~0|", "score": 0.91234}, "best so far  |a~0| (score 0.9123)"),
        ({"genotype": "|a~0|", "score": None, "place": "1 of 40"}, "best so far  |a~0| (1 of 40)"),
    ):
        assert said in status_lines(status | {"best": best})


def test_a_search_without_generations_says_so() -> None:
    stages = {name: {"status": "running", "seconds": 2.0, "facts": {}} for name in ("supernet", "search")}
    status: dict[str, Any] = {
        "path": "runs/a", "created": "now", "active": True, "checkpoints": None, "progress_lost": False,
        "stages": stages, "progress": None, "seconds_left": None, "best": None, "lag": 0,
    }  # fmt: skip
    said = [line for line in status_lines(status) if "no generations (search.lag=0)" in line]
    assert [line.split()[0] for line in said] == ["search"]
    assert "generations" not in "\n".join(status_lines(status | {"lag": None}))


def test_progress_that_is_missing_is_told_where_a_stage_was_interrupted() -> None:
    stages = {"search": {"status": "interrupted", "seconds": 2.0, "facts": {}}}
    status: dict[str, Any] = {
        "path": "runs/a", "created": "now", "active": False, "checkpoints": None, "progress_lost": False,
        "stages": stages, "progress": None, "seconds_left": None, "best": None,
    }  # fmt: skip
    said = "progress.json is missing: how far it is"
    assert said in "\n".join(status_lines(status))
    for other in ("pending", "done"):
        stages["search"]["status"] = other
        assert said not in "\n".join(status_lines(status))
    stages["search"]["status"] = "interrupted"
    progress = {"stage": "search", "done": 3, "total": 17}
    assert said not in "\n".join(status_lines(status | {"progress": progress}))


def test_a_wide_terminal_has_one_line_for_each_network() -> None:
    assert len(results(rows_of("darts"), 200)) == 2 + 2


def ranking() -> dict[str, Any]:
    """A ranking's document with short and long names."""
    statistic = {"value": 0.512, "low": -0.123, "high": 0.987}
    found = {"all": dict.fromkeys(("tau", "rho", "precision", "regret"), statistic)}
    names = ["angle", "perturbed_accuracy(draws=16)", "log-rank sum of angle, naswot, perturbed_loss(sigma=0.02), meco"]
    rows = [{"name": name, "truth": {"test_acc": found}, "seconds": 1.234, "images": 123_456} for name in names]
    columns = {"columns": ["test_acc"]}
    return {"truth": columns, "genotypes": [None] * 1000, "measures": rows, "references": []}


@pytest.mark.parametrize("width", WIDTHS)
def test_rankings_keep_measures_and_intervals_whole(width: int) -> None:
    document = ranking()
    lines = [str(line) for line in ranking_lines(document, Path("out"), width)]
    assert max(map(cell_len, lines)) <= width
    for row in document["measures"]:
        (place,) = [index for index, line in enumerate(lines) if line.startswith(row["name"])]
        figures = " ".join(lines[place : place + 2])
        assert "0.51  -0.12 to 0.99" in figures
        assert "123,456" in figures


def test_a_short_name_keeps_its_line_where_a_long_one_has_its_own() -> None:
    lines = [line.plain for line in table(["name", "value"], [["short", "1.5"], ["x" * 30, "2.5"]], 30)]
    assert lines[2:] == ["short" + " " * 22 + "1.5", "x" * 30, " " * 27 + "2.5"]


def test_a_narrow_terminal_has_one_line_for_each_figure() -> None:
    lines = [line.plain for line in table(["name", "first", "second"], [["long name", "1.25 ± 0.5", "x" * 12]], 20)]
    assert lines == ["long name", "  first: 1.25 ± 0.5", "  second: xxxxxxxxxxxx"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("registry", [SPACES, MEASURES], ids=lambda each: each.kind)
def test_listings_fit(registry: Any, width: int) -> None:
    entries = registry.built_in()
    lines = [str(line) for line in listing_lines(entries, "things", width)]
    assert max(map(cell_len, lines)) <= width
    assert [line.split()[0] for line in lines if not line.startswith((" ", "`"))] == [each.name for each in entries]
    told = " ".join(" ".join(lines).split())
    for entry in entries:
        assert entry.source in told


def test_a_listing_that_fits_has_one_line_for_each() -> None:
    assert [line.plain for line in listing([("a", "what", "whose"), ("bcd", "it", "is")], 80)] == [
        "a    what  whose",
        "bcd  it    is",
    ]


def test_an_empty_listing_says_so() -> None:
    assert listing_lines([], "suites", 80) == [
        "There are no suites yet: none is built in, and no installed package or --plugin brings one."
    ]


def test_a_member_of_somebody_else_shows_whose_it_is_and_its_settings() -> None:
    settings = (Setting("sigma", "0.05", "relative noise"), Setting("draws", "20"))
    lines = [str(line) for line in member_lines(Entry("wide", "so wide", "Us", "mylab.noise", settings), "a.b", 80)]
    assert "Us (from mylab)" in lines
    assert "Settings of its own, with defaults, as --set a.b.wide.sigma=VALUE:" in lines
    assert lines[-3:] == ["  sigma = 0.05", "      relative noise", "  draws = 20"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("registry", "options"),
    [(MEASURES, "measure.options"), (STRATEGIES, "search.options"), (SUITES, "evaluate.options")],
)
def test_a_member_with_its_settings_fits(registry: Any, options: str, width: int) -> None:
    for entry in registry.built_in():
        lines = [str(line) for line in member_lines(entry, options, width)]
        assert max(map(cell_len, lines)) <= width
        assert entry.source in " ".join(lines)


def test_listings_answer_without_importing_torch() -> None:
    code = (
        "import sys\n"
        "from lowland.app import cli\n"
        "for verb in ('spaces', 'measures', 'strategies', 'searchers', 'suites', 'executors', 'data'):\n"
        "    sys.argv = ['lowland', verb]\n"
        "    try: cli.main()\n"
        "    except SystemExit as stop: assert not stop.code\n"
        "heavy = {'torch', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    for entry in (*SPACES.built_in(), *MEASURES.built_in()):
        assert entry.name in said.stdout
