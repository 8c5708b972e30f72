"""What is released: wheel and sdist hold what they should and nothing else, and every file tells the same version."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from lowland import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

WHEEL_MB, SDIST_MB = 5.0, 8.0
"""Most megabytes; the embedded images are most of a wheel."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Wheel and sdist, built by the environment's own hatchling from a copy of the checkout."""
    for package in ("build", "twine", "hatchling"):
        if find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install '.[release]'")
    place = tmp_path_factory.mktemp("release")
    junk = shutil.ignore_patterns(".git", ".venv", "runs", "build", "dist", "shared", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, place / "source", ignore=junk)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place / "dist"), str(place / "source")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (place / "dist").glob("*.whl")
    (sdist,) = (place / "dist").glob("*.tar.gz")
    return wheel, sdist


@pytest.mark.slow
def test_twine_finds_no_fault(built: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    wheel, _ = built
    assert wheel.stat().st_size < WHEEL_MB * 1e6
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        facts = Parser().parsestr(archive.read(f"lowland-{__version__}.dist-info/METADATA").decode())
    assert {name.partition("/")[0] for name in names} == {"lowland", f"lowland-{__version__}.dist-info"}
    source = ROOT / "src"
    kept = {
        path.relative_to(source).as_posix()
        for path in (source / "lowland").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith("lowland/")} == kept
    assert {"lowland/py.typed", "lowland/report/style.css", "lowland/report/landscape.html"} <= kept
    assert facts["Version"] == __version__
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts["Requires-Python"] == ">=3.11"
    assert facts.get_all("License-File") == ["LICENSE", "NOTICE"]


@pytest.mark.slow
def test_the_sdist_holds_what_tests_and_site_need(built: tuple[Path, Path]) -> None:
    _, sdist = built
    assert sdist.stat().st_size < SDIST_MB * 1e6
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    needed = ("src/lowland/__init__.py", "tests/conftest.py", "docs/index.md", "mkdocs.yml", "scripts/site.py")
    assert {*needed, "CITATION.cff", "Containerfile", "CHANGELOG.md", "LICENSE", "NOTICE"} <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("shared", "runs", ".ci", ".git/"))]


def test_the_version_stands_in_one_place() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "src/lowland/_version.py"
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__, "CITATION.cff tells another version than src/lowland/_version.py"
    assert cited["license"] == PROJECT["project"]["license"]
    assert (cited["cff-version"], cited["type"]) == ("1.2.0", "software")
    assert {each["identifiers"][0]["value"] for each in cited["references"]} == {"arXiv:2305.08611", "arXiv:2402.19102"}


def test_supported_versions_of_python_are_those_that_are_told() -> None:
    told = {name for name in PROJECT["project"]["classifiers"] if re.search(r":: 3\.\d+$", name)}
    assert told == {f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13)}
    assert PROJECT["tool"]["ruff"]["target-version"] == "py311"


def test_the_container_runs_the_two_commands_of_the_readme() -> None:
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "pip install . && lowland run" in readme
    steps = re.findall(r"^(FROM|ARG|RUN|WORKDIR|COPY|USER|ENTRYPOINT|CMD) (.*)$", text, re.MULTILINE)
    installs = [what for step, what in steps if step == "RUN" and what.startswith("pip install")]
    assert installs[-1] == "pip install --no-cache-dir ."
    assert [what for step, what in steps if step in ("ENTRYPOINT", "CMD")] == ['["lowland"]', '["run"]']
    index = next(what for step, what in steps if step == "ARG").removeprefix("INDEX=")
    assert index in readme
    for source in next(what for step, what in steps if step == "COPY").split()[:-1]:
        assert (ROOT / source).exists()
    image = next(what for step, what in steps if step == "FROM")
    assert re.fullmatch(r"docker\.io/library/python:3\.(11|12|13)-slim", image)
