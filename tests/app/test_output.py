"""Output that no terminal refuses, and names that are shown as they are: no markup, no emoji, no lost bracket."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.console import Console
from rich.text import Text

from lowland.app import console, encoding
from lowland.app.cli import app
from lowland.app.shown import shown
from lowland.core.registry import EXECUTORS, MEASURES, SEARCHERS, SPACES, STRATEGIES, SUITES
from whole_runs import Command, copied

ENCODINGS = ("cp1252", "ascii", "iso8859-15", "utf-8")
NAME = "[bold]run[/b] [x] :cat: τ"


def said(code: str, narrow: str, *arguments: str | Path) -> str:
    """What a program of lowland writes to an output of this encoding."""
    environment = {**os.environ, "PYTHONIOENCODING": narrow, "COLUMNS": "200"}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr.decode(narrow, "replace")
    return done.stdout.decode(narrow) + done.stderr.decode(narrow)


MAIN = "import sys; sys.argv[0] = 'lowland'; from lowland.app.cli import main; main()"


@pytest.mark.parametrize("narrow", ENCODINGS)
def test_every_encoding_can_hold_what_is_said(narrow: str) -> None:
    code = (
        "from lowland.app import console, encoding\n"
        "encoding.never_refuse()\n"
        "console.say(['τ-b 0.5 ± 0.1, P ≥ 3 → [b]x[/b] :cat: \\u2603 \\udcff'])\n"
        "console.complain('warning: σ [/b]')\n"
    )
    expected = {
        "cp1252": "tau-b 0.5 ± 0.1, P >= 3 -> [b]x[/b] :cat: ? ?\nwarning: sigma [/b]",
        "ascii": "tau-b 0.5 +/- 0.1, P >= 3 -> [b]x[/b] :cat: ? ?\nwarning: sigma [/b]",
        "iso8859-15": "tau-b 0.5 ± 0.1, P >= 3 -> [b]x[/b] :cat: ? ?\nwarning: sigma [/b]",
        "utf-8": "τ-b 0.5 ± 0.1, P ≥ 3 → [b]x[/b] :cat: \u2603 ?\nwarning: σ [/b]",
    }
    assert said(code, narrow).replace("\r", "").strip() == expected[narrow]


@pytest.mark.parametrize("narrow", ENCODINGS[:2])
@pytest.mark.parametrize("verb", [["measures"], ["spaces"], ["measures", "flatness"], ["rank", "--help"]])
def test_listings_and_help_in_narrow_encodings(narrow: str, verb: list[str]) -> None:
    told = said(MAIN, narrow, *verb)
    assert "Traceback" not in told
    assert told


@pytest.mark.slow
@pytest.mark.parametrize("narrow", ENCODINGS[:2])
def test_a_finished_run_ends_well_in_narrow_encodings(narrow: str, pristine: Path, tmp_path: Path) -> None:
    run = copied(pristine, tmp_path / NAME)
    told = said(MAIN, narrow, "resume", run)
    shown = str(run).replace("τ", "tau")
    for line in (f"run      {shown}", f"report   {shown}/report.html", f"network  {shown}/network"):
        assert line in told.splitlines()
    assert ("±" if narrow == "cp1252" else "+/-") in told
    assert f"run          {shown} (not running" in said(MAIN, narrow, "status", run)


@pytest.mark.slow
def test_progress_from_python_in_ascii_and_the_process_as_it_was(tmp_path: Path) -> None:
    code = (
        "import sys, lowland\n"
        "settings = lowland.settings(data={'name': 'digits', 'limit': 40}, supernet={'channels': 4, 'epochs': 1})\n"
        "lowland.run(settings, sys.argv[1], last='supernet')\n"
        "assert sys.stdout.errors == 'strict'\n"
    )
    told = said(code, "ascii", tmp_path / "run")
    assert "8x8 grey" in told
    assert "steps: 1 supernet; " in told


def test_brackets_and_colons_of_names_are_no_markup(pristine: Path, tmp_path: Path, lowland: Command) -> None:
    run = copied(pristine, tmp_path / NAME)
    for verb in ("status", "report"):
        assert str(run) in lowland(verb, run).out
    beside = tmp_path / f"{NAME}.pt2"
    assert str(beside) in lowland("export", run, "--out", beside).out
    assert lowland("status", tmp_path / "[/b] :cat:").fault.startswith(f"{tmp_path / '[/b] :cat:'} is not a run")


@pytest.mark.parametrize("terminal", [False, True])
def test_the_live_display_shows_names_as_they_are(terminal: bool) -> None:
    file = io.StringIO()
    display = shown(Console(file=file, force_terminal=terminal, width=120, color_system=None))
    display.start("[b]stage", 3, "step")
    display.advance(1, of="[/b] :cat:", genotype="long", candidate="long", learning_rate=0.1)
    display.note("about [/b] :cat:")
    display.finish()
    told = file.getvalue()
    assert "[b]stage" in told
    assert "about [/b] :cat:" in told
    assert "of [/b] :cat:" in told
    assert "long" not in told
    assert "learning_rate" not in told


def test_no_help_loses_its_brackets() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, command in commands.items():
        texts = [command.help, *(getattr(parameter, "help", None) for parameter in command.params)]
        for text in filter(None, texts):
            assert Text.from_markup(text).plain == text.replace("\\[", "["), name


def test_rank_says_its_defaults(lowland: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = said(MAIN, "utf-8", "rank", "--help")
    for default in ("1000", "runs/rank", "test_acc", "corrupt_mean, if there", "accuracy,loss,angle,flatness"):
        assert f"[default: {default}" in told


def test_what_lowland_itself_says_is_written_out_and_not_lost() -> None:
    texts = [
        text
        for registry in (EXECUTORS, MEASURES, SEARCHERS, SPACES, STRATEGIES, SUITES)
        for entry in registry.built_in()
        for text in (entry.summary, entry.source, *(setting.description for setting in entry.settings))
    ]
    for text in texts:
        lost = {character for character in text if ord(character) > 127 and not character.isalpha()}
        assert lost <= set(encoding._WRITTEN_OUT), text


def test_a_complaint_needs_no_memory_for_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def short(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(console.err, "print", short)
    console.complain("error: memory ran short \x1b[2J")
    assert capsys.readouterr().err == "error: memory ran short \\x1b[2J\n"
