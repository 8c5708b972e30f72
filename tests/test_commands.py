"""README and docs: every command of the pages runs, in small, on a few made-up pictures; every option exists.

A block that cannot run here is preceded by `<!-- not run: REASON -->`. Pages with a test of their own are in `OWN`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from lowland.app.cli import app
from lowland.core.config import Config
from lowland.core.settings import known_keys
from whole_runs import Command, copied, made

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path
    for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    if path.name not in ("log.md", "architecture.md")
)

OWN = {
    "docs/guide/archive.md": "tests/test_archive_guide.py",
    "docs/guide/detection.md": "tests/test_detection_guide.py",
    "docs/guide/segmentation.md": "tests/test_segmentation_guide.py",
    "docs/guide/export.md": "tests/delivery/test_guides.py",
    "docs/guide/extending.md": "tests/test_extending.py",
    "docs/guide/progress.md": "tests/app/callbacks/test_guide.py",
    "docs/guide/shift.md": "tests/test_shift_guide.py",
    "docs/guide/timm.md": "tests/delivery/test_guides.py",
    "docs/guide/tutorial.md": "tests/test_tutorial.py",
}
"""Pages that a test of their own runs, and that test."""

SMALL = {
    "data.limit": "60",
    "data.image_size": "16",
    "supernet.epochs": "1",
    "supernet.min_steps": "1",
    "search.finalists": "0",
    "measure.calibration_images": "24",
    "measure.images": "20",
    "measure.noise_images": "10",
    "measure.draws": "1",
    "retrain.epochs": "2",
    "retrain.min_steps": "1",
    "retrain.batch_size": "16",
    "search.options.evolution": "{population: 4, generations: 1, parents: 2, mutations: 1, crossovers: 1}",
    "evaluate.options.corruptions": "{names: [fog], severities: [1], images: 10}",
    "evaluate.options.landscape": "{random_genotypes: 1, draws: 1, images: 10, sigmas: [0.0, 0.01]}",
    "compute.threads": "1",
}
"""Settings under which any run of the pages takes seconds."""

OF_SPACE = {
    "nasbench201": {"supernet.channels": "4", "supernet.cells": "1", "network.channels": "4", "network.cells": "1"},
    "darts": {"supernet.channels": "4", "supernet.cells": "2", "network.channels": "4", "network.cells": "2"},
    "mobilenetv3-small": {
        "search.options.pareto": "{initial: 4, iterations: 1, proposals: 1, inner_population: 4, inner_generations: 1}"
    },
}

SHORTER = (
    (" --budget 20m", " --budget 20m --dry-run"),  # a budget makes trainings as long as it is
    ("resnet-cell,all-conv3x3,mobilenetv3,timm:resnet10t", "resnet-cell"),  # digits are too small for the others
    (" --seeds 3", " --seeds 1"),
)
"""What is replaced in a command, since it asks for minutes."""

Block = tuple[str, str, str]


def blocks(page: Path) -> list[Block]:
    """Every block of a page that is to run: its language, its text, and the reason where it is not run."""
    text = page.read_text(encoding="utf-8")
    found = re.findall(
        r"(?:<!-- not run: (.*?) -->\n)?```(bash|python)[^\n]*\n(.*?)^```", text, re.DOTALL | re.MULTILINE
    )
    return [(language, body, reason) for reason, language, body in found]


def commands(body: str) -> list[str]:
    return [line for line in body.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


RUN = [page for page in PAGES if named(page) not in OWN and any(kind == "bash" for kind, _, _ in blocks(page))]


def test_every_page_with_commands_is_run() -> None:
    for page in PAGES:
        indented = re.findall(r"^    \$? ?(?:lowland|pip|torchrun|python) .*$", page.read_text(encoding="utf-8"), re.M)
        if named(page) in OWN:
            test = ROOT / OWN[named(page)]
            assert named(page) in test.read_text(encoding="utf-8"), f"{OWN[named(page)]} does not run {named(page)}"
        else:
            assert not indented, f"{named(page)}: write {indented[0].strip()!r} in a block of bash, so that it is run"
    assert {"README.md", "docs/guide/start.md", "docs/guide/compare.md", "docs/papers/genas.md"} <= set(map(named, RUN))


def test_what_is_not_run_says_why() -> None:
    reasons = [reason for page in PAGES for _, _, reason in blocks(page) if reason]
    assert all(len(reason) > 10 for reason in reasons)
    marks = sum(page.read_text(encoding="utf-8").count("<!-- not run") for page in PAGES)
    assert marks == len(reasons), "a mark stands right before its block"


def images(folder: Path, rng: np.random.Generator) -> None:
    for split, count in (("train", 24), ("test", 8)):
        for shade, kind in enumerate(("cat", "dog")):
            place = folder / split / kind
            place.mkdir(parents=True)
            for number in range(count):
                levels = rng.integers(40 + 80 * shade, 120 + 80 * shade, (16, 16, 3))
                Image.fromarray(levels.astype(np.uint8)).save(place / f"{number}.png")


@pytest.fixture(scope="module")
def photographed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, and two runs on them; never change it."""
    place = tmp_path_factory.mktemp("pages")
    rng = np.random.default_rng(0)
    for name in ("photos", "path/to/images"):
        images(place / name, rng)
    Image.fromarray(rng.integers(0, 255, (20, 16, 3)).astype(np.uint8)).save(place / "picture.png")
    own: dict[str, Any] = {"data": {"name": str(place / "photos"), "limit": None}}
    for name, seed in (("mine", 0), ("other", 1)):
        made(place / "runs" / name, own | {"seed": seed, "evaluate": {"suites": ["classification"]}})
    return place


@pytest.fixture
def place(photographed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(copied(photographed, tmp_path / "here"))
    return tmp_path / "here"


def small(line: str) -> list[str]:
    """The words of a command, with settings under which it takes seconds."""
    for long, short in SHORTER:
        line = line.replace(long, short)
    program, verb, *words = shlex.split(line)
    assert program == "lowland", f"{line}: only lowland is run here; say why not with <!-- not run: REASON -->"
    if verb not in ("run", "search", "supernet"):
        return [verb, *words]
    space = re.search(r"--space (\S+)", line)
    chosen = space[1] if space else "mobilenetv3-small" if "--preset flatnas" in line else "nasbench201"
    given = SMALL | OF_SPACE[chosen]
    data = [] if "--data" in words else ["--data", "photos"]
    return [verb, *(word for key, value in given.items() for word in ("--set", f"{key}={value}")), *data, *words]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::lowland.core.errors.LowlandWarning")
@pytest.mark.parametrize("page", RUN, ids=named)
def test_every_block_runs(page: Path, place: Path, lowland: Command) -> None:
    found = blocks(page)
    if named(page) == "docs/guide/deliver.md":
        for package in ("timm", "onnxruntime", "onnxscript"):
            pytest.importorskip(package)
    own = {word for _, body, reason in found if not reason for word in re.findall(r"--out (runs/\S+)", body)}
    for run in own & {"runs/mine", "runs/other"}:
        (place / run).rename(place / run.replace("runs/", "earlier-"))  # the page makes it itself
    names: dict[str, Any] = {"__name__": "page"}
    for language, body, reason in found:
        if reason:
            continue
        if language == "python":
            if named(page) in PYTHON:
                exec(compile(body, named(page), "exec"), names)
            continue
        for line in commands(body):
            said = lowland(*small(line))
            assert said.code == 0, f"{line}\n{said.err}"


PYTHON = ("docs/guide/start.md", "docs/guide/deliver.md", "docs/papers/genas.md", "docs/papers/flatnas.md")
"""Pages whose Python is run here; that of flatness.md by a test of its own."""


def inline() -> Iterator[tuple[str, str]]:
    """Every command of a line of text or a table, with its page."""
    for page in PAGES:
        text = re.sub(r"^```.*?^```|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for command in re.findall(r"`(lowland [a-z][^`]*)`", text):
            yield named(page), command


def test_every_command_in_a_line_of_text_exists() -> None:
    group: Any = get_command(app)
    keys = known_keys(Config)
    places = ("measure.options", "search.options", "evaluate.options")
    checked = 0
    for page, command in inline():
        verb, *words = command.split()[1:]
        assert verb in group.commands, f"{page}: {command}"
        options = {text for each in group.commands[verb].params for text in (*each.opts, *each.secondary_opts)}
        for word in words:
            flag = word.partition("=")[0].rstrip(".,;:)")
            if flag.startswith("-") and not re.match(r"-\d", flag):
                assert flag in options | {"-h", "--help"}, f"{page}: {command}: {verb} has no {flag}"
        for key in re.findall(r"--set ['\"]?([a-z_.0-9-]+)=", command):
            assert key in keys or key.startswith(places), f"{page}: {command}: there is no setting {key}"
        checked += 1
    assert checked > 60


def test_every_module_that_a_paper_names_exists() -> None:
    for page in sorted((ROOT / "docs" / "papers").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"`(lowland\.[\w.]+)`", text):
            module, _, last = name.rpartition(".")
            assert find_spec(module) is not None, name
            found = __import__(module, fromlist=[last])
            assert hasattr(found, last) or find_spec(name) is not None, name
        for file in re.findall(r"`(benchmarks/[\w./]+)`", text):
            assert (ROOT / file).exists(), file
