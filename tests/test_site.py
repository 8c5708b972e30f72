"""The documentation site: generated pages tell everything there is, and all of it builds without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from typer.main import get_command

from lowland.app.cli import app
from lowland.core.config import Config
from lowland.core.registry import MEASURES, SPACES, SUITES
from lowland.core.settings import known_keys

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    """The module that makes pages at every build."""
    spec = importlib.util.spec_from_file_location("lowland_site", ROOT / "scripts" / "site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_verb_with_every_option(generated: ModuleType) -> None:
    page = generated.command_line()
    group = get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        section = page.partition(f"\n## lowland {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert f"`{option}`" in section, (name, option)


def test_every_setting_with_default_and_source(generated: ModuleType) -> None:
    page = generated.settings()
    rows = dict(re.findall(r"^\| `([\w.@-]+)` \| (.*?) \|", page, re.MULTILINE))
    members = ("measure.options", "search.options", "evaluate.options")
    assert set(known_keys(Config)) - {*members} <= set(rows)
    assert rows["retrain.label_smoothing"] == f"`{Config().retrain.label_smoothing}`"
    assert rows["measure.options.flatness.alpha"] == "`1.0`"
    for file in re.findall(r"Declared in `(src/lowland/[^`]+)`", page):  # tests have members of their own
        assert (ROOT / file).is_file(), file
    assert "flatnas: `" in page
    section = page.partition("## measure.options.flatness\n")[2].partition("## ")[0]
    assert "src/lowland/measures/noise/flatness.py" in section
    assert "GeNAS" in section


def test_every_member_with_its_source(generated: ModuleType) -> None:
    page = generated.members()
    for registry in (SPACES, MEASURES, SUITES):
        for entry in registry.built_in():
            assert re.search(rf"^\| `{re.escape(entry.name)}` \| .+ \| .* \| `src/lowland/.*`", page, re.MULTILINE), (
                entry
            )


def test_every_page_has_a_place(generated: ModuleType) -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    placed = set(re.findall(r"^\s+- ([\w/-]+\.md)$", text, re.MULTILINE))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert placed == there | {f"reference/{name}.md" for name in generated.PAGES}
    site = yaml.safe_load(text)
    assert site["theme"]["font"] is False  # else pages would ask Google for one


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    for package in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(package) is None:
            pytest.skip("needs the site's packages: pip install '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)[^>]*\bsrc=\"?(https?:[^\s\">]+)", text)
        loaded += re.findall(
            r"<link[^>]*\brel=\"?(?:stylesheet|preconnect|preload)[^>]*href=\"?(https?:[^\s\">]+)", text
        )
        assert not loaded, (page.name, loaded)
    python = (tmp_path / "site" / "reference" / "python.html").read_text(encoding="utf-8")
    assert "Flatness of the minimum that a trained model lies in" in python
