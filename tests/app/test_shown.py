"""How a run is shown: in lines without a terminal, live in one, in place in a notebook, and not at all."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import lowland as package
from lowland.app import console, notebook
from lowland.app.display import Display
from lowland.app.notebook import Notebook, in_notebook
from lowland.app.shown import shown, watched
from lowland.core import monitor
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.lines import Lines
from lowland.core.monitor import Monitor
from lowland.workflow import pipeline
from whole_runs import Command, options

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "


def a_terminal(width: int = 120) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


def test_each_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Console(file=io.StringIO())
    assert type(shown(plain)) is Lines
    assert type(shown(plain, "lines")) is Lines
    assert type(shown(plain, "none")) is Monitor
    assert type(shown(plain, "live")) is Display
    assert type(shown(a_terminal())) is Display
    assert type(shown(a_terminal(), "lines")) is Lines
    assert not in_notebook()
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    assert type(shown(plain)) is Notebook
    assert type(shown(plain, "lines")) is Lines
    shell = types.SimpleNamespace()  # IPython in a terminal
    assert type(shown(a_terminal())) is Display


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_live_line_has_the_time_left_whatever_the_width(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(monitor.time, "monotonic", lambda: now)
    terminal = a_terminal(width)
    live = shown(terminal)
    live.start("supernet", 100_000, "step")
    now = 200.0
    live.advance(1000, loss=1.25, learning_rate=0.1)
    live.finish()
    told = terminal.file.getvalue()  # type: ignore[attr-defined]
    assert "10.0 step/s, 2 h 45 min left" in told
    assert "loss 1.25" in told
    assert ("1000/100000" in told) == (width >= 80)


def test_a_stopped_run_gives_the_terminal_its_cursor_back() -> None:
    terminal = a_terminal()
    live = shown(terminal)
    live.start("search", 3, "network")
    live.fail(InterruptedRun("x"))
    assert terminal.file.getvalue().endswith("\x1b[?25h")  # type: ignore[attr-defined]


def test_ctrl_c_is_heard_by_what_callbacks_are_added_to() -> None:
    with watched(Console(file=io.StringIO()), callbacks=[package.Callback()]) as heard:
        assert not heard.stopping
        heard.stopping = True
        with pytest.raises(InterruptedRun):
            heard.check()


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_without_a_terminal_every_line_has_its_time_and_comes_at_once(tmp_path: Path) -> None:
    code = "import sys; sys.argv[0] = 'lowland'; from lowland.app.cli import main; main()"
    command = [sys.executable, "-c", code, "run", *options("--out", str(tmp_path / "run"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "stage supernet begins" in line:
                assert process.poll() is None  # it is not kept back until the end
                assert not (tmp_path / "run" / "report.html").exists()
    assert process.returncode == 0
    until = next(place for place, line in enumerate(lines) if " in all: " in line)
    for line in lines[: until + 1]:
        assert re.match(STAMP, line), line
    said = [re.sub(STAMP, "", line) for line in lines]
    assert said[0].startswith("10 classes; ")
    assert said[1].startswith("steps: 20 supernet")
    assert said[2] == f"run {tmp_path / 'run'}; to do: supernet, search, train, evaluate, report"
    assert said[until].startswith(f"{said[until].split(' in all')[0]} in all: supernet ")
    assert f"report   {tmp_path / 'run' / 'report.html'}" in lines[until:]


def test_verbose_says_more_and_quiet_nothing(finished: Path, lowland: Command) -> None:
    more = lowland("resume", finished, "--restart", "search", "-v")
    assert more.code == 0
    for words in ("torch ", "precision ", "set otherwise: seed=3", "candidate 8 of 8: |", "score flatness"):
        assert words in more.out
    usual = lowland("evaluate", finished)
    assert "precision" not in usual.out
    assert f"run {finished} goes on; done: supernet, search, train, evaluate, report; to do: nothing" in usual.out
    for verb in (["search", "--quiet"], ["train", "--quiet"], ["evaluate", "--quiet"], ["supernet", "--quiet"]):
        assert lowland(verb[0], finished, verb[1]).out == f"{finished}\n"
    refused = lowland("resume", finished, "--quiet", "--verbose")
    assert refused.fault == "--quiet prints nothing and --verbose more; leave one of the two out"


def test_verbose_shows_warnings_of_libraries(finished: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def resume(*_: Any, **__: Any) -> None:
        warnings.warn("a library is unhappy", UserWarning, stacklevel=1)
        raise ConfigError("enough")

    monkeypatch.setattr(pipeline, "resume", resume)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert "UserWarning: a library is unhappy (" in lowland("resume", finished, "-v").err
        assert "unhappy" not in lowland("resume", finished).err


# --- from Python ------------------------------------------------------------------------------------------------------


def test_lines_from_python_where_nothing_can_be_drawn(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(console, "out", Console(file=out, width=200))
    package.resume(finished, restart="report")
    lines = out.getvalue().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    assert any("stage report done in" in line for line in lines)
    out.truncate(0)
    package.resume(finished, restart="report", progress="none")
    assert out.getvalue() == ""


# --- notebooks --------------------------------------------------------------------------------------------------------


class Drawn:
    """What is drawn in place of IPython."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.displayed: list[str] = []
        self.updates: list[str] = []
        ipython = types.SimpleNamespace(HTML=lambda page: page, display=self.display)
        monkeypatch.setattr(notebook, "import_module", lambda name: ipython)

    def display(self, page: str, display_id: bool) -> Any:
        self.displayed.append(page)
        return types.SimpleNamespace(update=self.updates.append)


def test_a_notebook_is_drawn_in_place_and_not_flooded(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, now = Drawn(monkeypatch), 100.0
    monkeypatch.setattr(monitor.time, "monotonic", lambda: now)
    live = Notebook()
    live.say("10 classes")
    live.start("<b>supernet", 10_000, "step")
    for done in range(1, 10_001):
        now += 0.001
        live.advance(done, loss=1.0, learning_rate=0.1)
    live.note("about <i>")
    live.finish()
    live.end(types.SimpleNamespace(seconds={"supernet": 10.0}))
    assert len(drawn.displayed) == 1
    assert 20 <= len(drawn.updates) <= 25  # ten seconds, twice a second
    assert " step/s, 5 s left, loss 1" in "".join(drawn.updates)
    page = drawn.updates[-1]
    for words in ("10 classes", "&lt;b&gt;supernet", "10000/10000", "about &lt;i&gt;", "10 s in all: supernet 10 s"):
        assert words in page
    assert "<b>" not in page
    assert "learning_rate" not in page


def test_a_notebook_shows_where_a_run_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = Drawn(monkeypatch)
    live = Notebook()
    live.start("search", 3, "network")
    live.fail(InterruptedRun("x"))
    assert "stopped, 0 s" in drawn.updates[-1]


@pytest.mark.slow
def test_a_run_in_a_real_notebook(tmp_path: Path) -> None:
    client = pytest.importorskip("nbclient", reason="nbclient is not installed")
    nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    small = {"supernet.channels": 4, "supernet.epochs": 1, "data.limit": 40, "compute.threads": 1}
    cell = f"""import sys
sys.path[:0] = {sys.path!r}
import lowland
lowland.run("digits", "run", last="supernet", set={small!r})"""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    client.NotebookClient(book, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = book.cells[0].outputs
    shows = [each for each in outputs if each.output_type == "display_data"]
    assert len(shows) == 1
    page = shows[0].data["text/html"]
    assert "1/1" in page
    assert "in all: supernet" in page
    (result,) = [each for each in outputs if each.output_type == "execute_result"]
    assert "supernet done" in result.data["text/html"]
    assert not any(each.output_type == "stream" and each.name == "stdout" for each in outputs)
