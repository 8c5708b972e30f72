"""What benchmarks leave behind names files, never where they lay on the machine that measured."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are not part of the distribution")

PLACE = re.compile(r"(^|[\s'\"=])(/|~/|[A-Z]:\\)\w")
"""A path from the root, a home folder or a drive."""


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, keys too."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield str(key)
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str):
        yield value


def test_committed_results_hold_no_path_of_a_machine() -> None:
    files = sorted((BENCHMARKS / "results").rglob("*.json"))
    assert files
    for file in files:
        found = [
            text for text in texts(json.loads(file.read_text())) if re.search(r"(^|[\s'\"=])(/|~/|[A-Z]:\\)\w", text)
        ]
        assert not found, f"{file.name}: {found[0]}"


def test_new_results_cannot_hold_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "common", raising=False)
    from common import without_folders

    given = {"a": Path("/data/x/supernet-0"), "b": ["/data/y.npz", "y/z.npz", 0.5, None, True], 3: ("cifar10",)}
    assert without_folders(given) == {"a": "supernet-0", "b": ["y.npz", "y/z.npz", 0.5, None, True], 3: ["cifar10"]}


def top_level(tree: ast.Module) -> Iterator[str]:
    """What a module defines or imports for others to take."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            yield from (each.id for each in ast.walk(node) if isinstance(each, ast.Name))


def test_what_scripts_take_from_one_another_is_there() -> None:
    """Types of benchmarks are not checked, and a study may lie for months before it goes on."""
    trees = {path.stem: ast.parse(path.read_text()) for path in BENCHMARKS.rglob("*.py")}
    defined = {name: set(top_level(tree)) for name, tree in trees.items()}
    missing = [
        f"{name}: {taken.name} of {node.module}"
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in trees
        for taken in node.names
        if taken.name not in defined[node.module]
    ]
    assert not missing
