"""What `--json` prints is one document of the documented shape (docs/guide/json.md)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from golden.relocate import relocated
from whole_runs import Command

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "format-1"
GUIDE = ROOT / "docs" / "guide" / "json.md"


@pytest.mark.parametrize("verb", ["spaces", "measures", "strategies", "searchers", "suites", "executors"])
def test_members(lowland: Command, verb: str) -> None:
    found = json.loads(lowland(verb, "--json").out)
    assert len(found) > 0
    for row in found:
        assert list(row) == ["name", "summary", "source", "origin", "settings"]
        assert all(list(setting) == ["name", "default", "description"] for setting in row["settings"])
    one = json.loads(lowland(verb, found[0]["name"], "--json").out)
    assert {**one, "settings": None} == {**found[0], "settings": None}
    assert {each["name"] for each in one["settings"]} >= {each["name"] for each in found[0]["settings"]}


def test_data_sets(lowland: Command) -> None:
    found = json.loads(lowland("data", "--json").out)
    assert "cifar10" in [row["name"] for row in found]
    assert all(list(row) == ["name", "summary", "source"] for row in found)


def test_status(lowland: Command, tmp_path: Path) -> None:
    found = json.loads(lowland("status", relocated(GOLDEN / "evolution", tmp_path / "run"), "--json").out)
    keys = ["path", "created", "lowland", "active", "checkpoints", "writer", "stages", "progress", "seconds_left"]
    keys += ["best", "lag", "progress_lost"]
    assert list(found) == keys


def test_the_guide_names_every_verb_that_prints_json(lowland: Command) -> None:
    named = set(re.findall(r"^\| `lowland ([a-z]+)", GUIDE.read_text(encoding="utf-8"), flags=re.MULTILINE))
    verbs = set(re.findall(r"^│ ([a-z]+) ", lowland("--help").out, flags=re.MULTILINE))
    assert len(verbs) > 15
    assert named == {verb for verb in verbs if "--json" in lowland(verb, "--help").out}
