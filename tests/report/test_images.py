"""The report's figures as images of their own."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import lowland as package
from lowland.store.run import Run
from lowland.workflow.result import run_result
from whole_runs import content


def test_every_figure_is_an_image_of_its_own(pristine: Path, tmp_path: Path) -> None:
    before = content(pristine)
    with Run.open(pristine, read_only=True) as opened:
        result = run_result(opened)
    found = result.plots
    assert {"search", "size", "noise, inherited weights", "noise, trained weights", "training loss"} <= set(found)
    for name, plot in found.items():
        root = ElementTree.fromstring(plot._repr_svg_())
        assert root.tag == "{http://www.w3.org/2000/svg}svg", name
        assert float(root.attrib["width"]) > 100
        assert "var(" not in plot.svg
        ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert len(ids) == len(set(ids))
        assert repr(plot) == f"<plot {name!r}>"
    found["size"].save(tmp_path / "size.svg")
    assert (tmp_path / "size.svg").read_text() == found["size"].svg
    assert content(pristine) == before


def test_a_run_without_a_search_has_none(tmp_path: Path) -> None:
    small = {"supernet.channels": 4, "supernet.epochs": 1, "data.limit": 40, "compute.threads": 1}
    result = package.run("digits", tmp_path / "run", last="supernet", set=small, quiet=True)
    assert result.plots == {}
