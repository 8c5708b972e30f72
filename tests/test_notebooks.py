"""docs/notebooks: every cell of every notebook runs, in a fresh kernel and an empty folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))

MADE = {
    "arrays": ("runs/digits/network/network.json",),
    "flatness": (),
    "rank": ("truth.csv", "runs/rank/rank.json", "runs/rank/rank.html"),
}
"""What each notebook leaves in its folder."""


def test_notebooks_are_kept_without_outputs() -> None:
    assert NOTEBOOKS
    for path in NOTEBOOKS:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), path.name


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="the archive as a data frame needs pandas (pip install '.[test]')")
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": tmp_path}}).execute()
    shown = {kind for cell in notebook.cells for output in cell.get("outputs", ()) for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= shown
    table = next(cell for cell in notebook.cells if ".head()" in cell.source)
    assert "<table" in table.outputs[0]["data"]["text/html"]
    for file in MADE[path.stem]:
        assert (tmp_path / file).is_file(), file
