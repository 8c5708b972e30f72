"""What the report shows of a gradient search: skips by epoch, the loss, the genotypes, and whether it collapsed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from made_up_facts import make_facts

from lowland.report import render
from lowland.report.figures.relaxed import drawn
from lowland.report.search_facts import Relaxed


def kept(skips: list[dict[str, int]], *, loss: float | None = 1.0, operations: int = 6) -> dict[str, Any]:
    epochs = [
        {"epoch": epoch, "genes": [], "genotype": f"|<{epoch}>|", "skips": each, "validation_loss": loss}
        for epoch, each in enumerate(skips)
    ]
    return {"operations": operations, "chosen": len(skips) - 1, "epochs": epochs}


@pytest.mark.parametrize(("last", "collapsed"), [(3, False), (4, True), (6, True)])
def test_a_collapse_is_said(last: int, collapsed: bool) -> None:
    facts = Relaxed.of(kept([{"cell": 0}, {"cell": 2}, {"cell": last}]))
    assert drawn(facts).collapsed == collapsed
    page = render(replace(make_facts(), search=None, relaxed=facts))
    assert ("the search collapsed" in page) == collapsed
    assert f"that of epoch 3, with {last} skips in the cell." in page


def test_both_kinds_of_cells_and_every_genotype_are_shown() -> None:
    facts = Relaxed.of(kept([{"normal": 1, "reduction": 2}] * 4, operations=8))
    page = render(replace(make_facts(), search=None, relaxed=facts))
    assert "1 skip in the normal cell and 2 skips in the reduction cell." in page
    assert all(f"|&lt;{epoch}&gt;|" in page for epoch in range(4))
    assert "validation loss, nats by epoch" in page
    assert "with the shared weights" not in page


def test_without_a_validation_loss_there_is_no_figure_of_it() -> None:
    found = drawn(Relaxed.of(kept([{"cell": 1}], loss=None)))
    assert found.losses == ""
    assert "skip connections by epoch" in found.skips


def test_what_was_decided_edge_by_edge_is_a_table() -> None:
    without = {"skip_connect": {"accuracy": 0.9, "loss": 0.3}, "nor_conv_3x3": {"accuracy": 0.25, "loss": None}}
    nodes = {
        "2": {"accuracy": 0.5, "loss": 1.0},
        "3": {"accuracy": 0.4, "loss": 1.0},
        "4": {"accuracy": 0.9, "loss": 0.2},
    }
    decisions = [
        {"kind": "cell", "edge": 4, "kept": "nor_conv_3x3", "without": without},
        {"kind": "normal", "node": 1, "kept": [2, 3], "without": nodes},
    ]
    facts = Relaxed.of(kept([{"cell": 1}]) | {"decisions": decisions})
    page = render(replace(make_facts(), search=None, relaxed=facts))
    assert "cell, edge 4" in page
    assert "nor_conv_3x3 25.0, skip_connect 90.0" in page, "the dearest comes first"
    assert "edges 2 and 3" in page
    assert "edge 3 40.0, edge 2 50.0, edge 4 90.0" in page
    assert "the accuracy without it" not in render(replace(make_facts(), relaxed=Relaxed.of(kept([{"cell": 1}]))))
