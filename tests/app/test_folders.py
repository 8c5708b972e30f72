"""Several runs at once: `lowland ls` and `lowland diff`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from golden.relocate import relocated
from lowland.core.amounts import storage
from lowland.store.run import Run
from whole_runs import Command, content

GOLDEN = Path(__file__).parents[1] / "golden" / "format-1"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A finished run, one that was stopped, and one whose manifest is damaged, at two depths."""
    folder = tmp_path / "runs"
    relocated(GOLDEN / "evolution", folder / "a")
    relocated(GOLDEN / "darts-interrupted", folder / "deep" / "b")
    broken = relocated(GOLDEN / "evolution", folder / "c")
    (broken / "manifest.json").write_text("{")
    (folder / "note.txt").write_text("mine")
    return folder


def test_runs_below_a_folder(lowland: Command, runs: Path) -> None:
    before = content(runs)
    told = lowland("ls", runs).out.splitlines()
    assert told[0].split() == ["run", "state", "data", "space", "params", "disk", "top-1", "made,", "UTC"]
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in told[2:5]}
    assert rows[str(runs / "a")].startswith("done images nasbench201 0.0037 M")
    assert "33.33 ± 6.1 %" in rows[str(runs / "a")]
    assert rows[str(runs / "deep" / "b")].startswith("stopped in search images darts –")
    assert rows[str(runs / "c")].startswith("damaged – – – – – –")
    assert told[-1].startswith(f"damaged: {runs / 'c' / 'manifest.json'} is damaged")
    assert content(runs) == before


def test_runs_as_json(lowland: Command, runs: Path) -> None:
    found = json.loads(lowland("ls", runs, "--json").out)
    keys = [
        "path",
        "state",
        "stage",
        "created",
        "data",
        "space",
        "preset",
        "parameters",
        "top1",
        "top1_error",
        "images",
    ]
    assert all(list(row) == [*keys, "bytes", "error"] for row in found)
    assert [row["state"] for row in found] == ["done", "damaged", "stopped"]
    assert (found[0]["parameters"], found[0]["images"], found[0]["stage"]) == (3697, 60, None)
    assert found[0]["bytes"] == sum(path.stat().st_size for path in (runs / "a").rglob("*") if path.is_file())
    assert (found[2]["stage"], found[2]["top1"]) == ("search", None)


@pytest.mark.parametrize("file", ["search.json", "evaluation.json", "config.yaml"])
def test_damage_anywhere_is_named_and_stops_nothing(lowland: Command, runs: Path, file: str) -> None:
    shutil.rmtree(runs / "c")
    (runs / "a" / file).write_text("[")
    said = lowland("ls", runs)
    assert said.code == 0
    assert f"damaged: {runs / 'a' / file}" in said.out
    assert "stopped in search" in said.out


def test_a_run_that_is_written_is_running(lowland: Command, runs: Path) -> None:
    with Run.open(runs / "deep" / "b"):
        assert "running in search" in lowland("ls", runs).out


def test_a_folder_without_runs_and_none_at_all(lowland: Command, tmp_path: Path) -> None:
    assert lowland("ls", tmp_path).out == f"There is no run in {tmp_path}.\n"
    assert lowland("ls", tmp_path / "no").fault == f"{tmp_path / 'no'} is not a folder; give one that holds runs"


def test_what_differs_and_what_came_of_it(lowland: Command, runs: Path) -> None:
    other = relocated(GOLDEN / "racing", runs / "d")
    told = [" ".join(line.split()) for line in lowland("diff", runs / "a", other).out.splitlines()]
    assert "setting A B" in told
    assert "test top-1 33.33 ± 6.1 % 43.33 ± 6.4 %" in told
    assert not any(line.startswith("space ") for line in told)
    found = json.loads(lowland("diff", runs / "a", other, "--json").out)
    assert list(found) == ["a", "b", "settings", "results"]
    ours, theirs = (Run.open(path, read_only=True).config for path in (runs / "a", other))
    assert {row["key"] for row in found["settings"]} >= {"measure.name"} if ours.measure != theirs.measure else True
    (top1,) = [row for row in found["results"] if row["name"] == "test top-1"]
    assert top1["unit"] == "%"
    assert top1["a"]["n"] == 60
    for row in found["settings"]:
        assert row["a"] != row["b"], row


def test_a_run_beside_itself(lowland: Command, runs: Path) -> None:
    assert "All settings are equal." in lowland("diff", runs / "a", runs / "a").out


def test_neither_imports_torch(runs: Path) -> None:
    for arguments in (["ls", str(runs)], ["diff", str(runs / "a"), str(runs / "deep" / "b")]):
        code = (
            f"import sys; sys.argv = ['lowland', *{arguments!r}]\n"
            "from lowland.app import cli\n"
            "try: cli.main()\n"
            "except SystemExit as stop: assert not stop.code\n"
            "assert 'torch' not in sys.modules\n"
        )
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert said.returncode == 0, said.stderr


def test_bytes_as_people_say_them() -> None:
    assert [storage(size) for size in (0, 999, 1000, 1_234_567, 999_600_000, 10**15)] == [
        "0 B", "999 B", "1 kB", "1.23 MB", "1 GB", "1e+03 TB",
    ]  # fmt: skip


def test_a_report_of_a_run_that_goes_on(lowland: Command, runs: Path, tmp_path: Path) -> None:
    run = runs / "deep" / "b"
    with Run.open(run):
        before = content(run, but=())
        fault = lowland("report", run).fault
        assert fault.startswith(f"{run} is in use by process ")
        assert fault.endswith(f"elsewhere: `lowland report {run} --out report.html`")
        said = lowland("report", run, "--out", tmp_path / "now.html")
        assert said.code == 0, said.err
        assert said.out == f"report   {tmp_path / 'now.html'}\n"
        assert "<h2>Search</h2>" in (tmp_path / "now.html").read_text()
        assert content(run, but=()) == before
    assert "lies in the run itself" in lowland("report", run, "--out", run / "x.html").fault
