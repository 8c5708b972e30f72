"""docs/guide/extending.md: every file and command of the page does what the page says, outside this repository."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "extending.md"
SECTIONS = dict(
    re.findall(r"^## An? ([a-z ]+)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
)

# The page's commands are whole runs; here they are as small as runs can be, in two worker processes.
SMALL = (
    *(
        "supernet.epochs=1",
        "retrain.epochs=1",
        "retrain.batch_size=32",
        "data.limit=120",
        "measure.images=30",
        "measure.calibration_images=40",
    ),
    "search.options.evolution={population: 4, generations: 1, parents: 2, mutations: 1, crossovers: 1}",
    *("search.options.climb={start: 2, rounds: 1, neighbours: 1}", "search.options.largest.draws=4"),
    *(
        "evaluate.options.corruptions.names=none",
        "evaluate.options.landscape={random_genotypes: 1, draws: 1, images: 20}",
    ),
    *("search.workers=2", "compute.threads=1"),
)
ENTRY_POINTS = {"space": "spaces", "measure": "measures", "strategy": "strategies"}

# Workers start after the first candidate instead of where they are worth it, and score all others: what they cannot
# import fails the run. Further commands follow in the same process, for it takes seconds to begin.
EAGER = """
import json, sys
from lowland.execution import local
local.WORTH_SECONDS = 0.0
here = local.Workers._here
local.Workers._here = lambda self, *what: None if self._started else here(self, *what)
from lowland.app.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["lowland", *arguments]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (arguments, ended.code)
"""


def blocks(section: str) -> tuple[dict[str, str], list[list[str]]]:
    """The files of a section by name, and its commands."""
    files = dict(re.findall(r'^```python title="([^"]+)"\n(.*?)^```', section, flags=re.MULTILINE | re.DOTALL))
    commands = [shlex.split(line[2:]) for line in re.findall(r"^\$ .*$", section, flags=re.MULTILINE)]
    return files, commands


def lab(folder: Path, section: str) -> list[list[str]]:
    """Write a section's files into a package of its own; gives the section's commands."""
    files, commands = blocks(section)
    (folder / "mylab").mkdir(exist_ok=True)
    (folder / "mylab" / "__init__.py").write_text("")
    for name, text in files.items():
        (folder / name).write_text(text)
    return commands


def began(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def ran(folder: Path, *arguments: str) -> str:
    done = began(folder, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def small(command: list[str]) -> list[str]:
    given = [word for setting in SMALL for word in ("--set", setting)]
    chosen = {word.partition("=")[0] for word in command}
    # A strategy or searcher that is not asked for may not be known, and its settings then neither.
    kept = []
    for flag, setting in zip(given[::2], given[1::2], strict=True):
        owner = re.match(r"search\.options\.(climb|largest)\b", setting)
        if owner is None or owner[1] in command or f"search.searcher={owner[1]}" in command:
            kept += [flag, setting]
    assert chosen
    return [*command[1:], *kept, "--out", "run"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", SECTIONS)
def test_a_member_of_ones_own_is_one_file(kind: str, tmp_path: Path) -> None:
    (command,) = lab(tmp_path, SECTIONS[kind])
    assert command[0] == "lowland"
    verb = f"{kind.rpartition(' ')[2]}s".replace("ys", "ies")
    plugin = command[command.index("--plugin") + 1]
    told = ran(tmp_path, "-c", EAGER, json.dumps([small(command), [verb, "--plugin", plugin]]))
    assert "rank" in told
    assert (tmp_path / "run" / "report.html").is_file()
    name = re.search(r'@(?:\w+\.)?register\("([^"]+)"\)', (tmp_path / f"{plugin.replace('.', '/')}.py").read_text())
    assert name is not None
    assert re.search(rf"^{re.escape(name[1])}\s", told, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def suites(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest says of the tests of all sections: a process for each would take most of its time to begin."""
    folder = tmp_path_factory.mktemp("suites")
    for section in SECTIONS.values():
        lab(folder, section)
    options = ("-v", "--color=no", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(folder))
    done = began(folder, "-m", "pytest", *options, *sorted(path.name for path in folder.glob("test_*.py")))
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("kind", SECTIONS)
def test_it_passes_the_public_conformance_suite(kind: str, suites: str) -> None:
    (test,) = (name for name in re.findall(r'title="([^"]+)"', SECTIONS[kind]) if name.startswith("test_"))
    outcomes = re.findall(rf"^{re.escape(test)}::\S.* ([A-Z]+)(?: +\[ *\d+%\])?$", suites, flags=re.MULTILINE)
    assert "PASSED" in outcomes, suites
    assert {*outcomes} <= {"PASSED", "SKIPPED"}, suites


@pytest.mark.parametrize("kind", ENTRY_POINTS)
def test_an_entry_point_needs_no_plugin(kind: str, tmp_path: Path) -> None:
    lab(tmp_path, SECTIONS[kind])
    module = tmp_path / "mylab" / f"{kind}.py"
    name = re.search(r'register\("([^"]+)"\)', module.read_text())
    assert name is not None
    info = tmp_path / "mylab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[lowland.{ENTRY_POINTS[kind]}]\n{name[1]} = mylab.{kind}\n")
    listed = ran(tmp_path, "-m", "lowland", ENTRY_POINTS[kind])
    assert re.search(rf"^{re.escape(name[1])}\s.*\n(.*\n)*?.*\(from mylab\)", listed, flags=re.MULTILINE)
