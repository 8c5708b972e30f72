"""The house: rooms import one another in no circle, and files stay of one subject."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import lowland

SOURCE = Path(lowland.__file__).parent
MODULES = {
    ".".join(("lowland", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in SOURCE.rglob("*.py")
}


def room(module: str) -> str:
    """The folder a module is in; modules of the root stand for themselves."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


def imported(module: str) -> set[str]:
    """Modules of this package that `module` imports, in functions too, but not for type checkers only."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] == "lowland":
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                found.add(whole if whole in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name in MODULES}
    return found - {module}


def test_no_module_imports_itself_through_others() -> None:
    graph = {module: {each for each in imported(module) if each in MODULES} for module in MODULES}
    # A package's table of contents imports its members, which Python loads after it.
    members = {module: {each for each in graph[module] if not each.startswith(f"{module}.")} for module in graph}
    try:
        list(TopologicalSorter(members).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_rooms_import_one_another_in_no_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        own = room(module)
        for each in imported(module):
            other = room(each)
            # A room and the rooms within it are one.
            if not (f"{own}.".startswith(f"{other}.") or f"{other}.".startswith(f"{own}.")) and other != "lowland":
                graph[own].add(other)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_no_package_gives_a_name_of_its_own_submodule_to_something_else() -> None:
    """Importing the submodule binds it in its package, in place of what was imported under that name before."""
    for module, path in MODULES.items():
        if path.name == "__init__.py":
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module not in ("__future__", module):
                    taken = {f"{module}.{name.asname or name.name}" for name in node.names} & MODULES.keys()
                    assert not taken


def test_a_file_has_one_subject() -> None:
    lines = {module: path.read_text(encoding="utf-8").count("\n") for module, path in MODULES.items()}
    assert median(lines.values()) <= 150
    long = {module: count for module, count in lines.items() if count > 400}
    assert not long
