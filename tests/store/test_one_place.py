"""Nothing but `store.inside` opens for writing, replaces or deletes in a run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lowland

SOURCE = Path(lowland.__file__).parent

ELSEWHERE = {
    "store/inside.py",
    "store/lock.py",  # opens the lock file itself, as carefully
    "evaluation/ranking/convert.py",
}

OUTSIDE = {
    "delivery/export.py": {"imports write_json", "beside.unlink"},
    "delivery/forms/exported.py": {"imports write_bytes", "write_bytes"},
    "delivery/forms/int8.py": {"imports replacing"},
    "delivery/forms/onnx.py": {"imports replacing"},
    "delivery/forms/weights.py": {"imports write_bytes", "write_bytes"},
}
"""Exports go where a person says, which is no run's file: what each may do, the atomic writes of `core.files`."""

METHODS = {
    "unlink", "remove", "removedirs", "rmtree", "rmdir", "rename", "move", "copytree", "copyfile", "copy2", "truncate",
    "write_text", "write_bytes", "mkdir", "makedirs", "touch", "symlink_to", "hardlink_to", "mkstemp", "save_file",
}  # fmt: skip
HARMLESS = {"inside", "archive", "handle"}
"""What has methods of these names: rows of an archive are renamed, hooks of torch removed."""

IMPORTS = {"write_bytes", "write_text", "write_json", "replacing", "sync_file", "save_file"}


def writes(source: str) -> Iterator[str]:
    """Calls and imports that write, replace or delete files."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("lowland.core.files", "safetensors.torch", "shutil"):
            yield from (f"{node.lineno}: imports {each.name}" for each in node.names if each.name in IMPORTS | METHODS)
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        method = called.rpartition(".")[2]
        on = called.rpartition(".")[0]
        # Path.replace has one argument, str.replace two, dataclasses.replace names.
        replaces = method == "replace" and len(node.args) == 1 and not node.keywords
        modes = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant)]
        opens = called == "os.open" or (
            method == "open" and any(isinstance(mode, str) and set(mode) & set("wax+") for mode in modes)
        )
        if on not in HARMLESS and (method in METHODS or replaces or opens):
            yield f"{node.lineno}: {called}"


@pytest.mark.parametrize("room", ["store", "workflow", "delivery", "evaluation", "search", "training"])
def test_one_place_writes_and_deletes_in_runs(room: str) -> None:
    found = []
    for path in sorted((SOURCE / room).rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        if name not in ELSEWHERE:
            allowed = OUTSIDE.get(name, set())
            each_write = writes(path.read_text(encoding="utf-8"))
            found += [f"{name}:{each}" for each in each_write if each.partition(": ")[2] not in allowed]
    assert found == []


@pytest.mark.parametrize("name", sorted({*ELSEWHERE, *OUTSIDE}))
def test_no_exception_outlives_its_reason(name: str) -> None:
    done = {each.partition(": ")[2] for each in writes((SOURCE / name).read_text(encoding="utf-8"))}
    assert done
    assert done >= OUTSIDE.get(name, set())


@pytest.mark.parametrize(
    "line",
    [
        "path.unlink()", "shutil.rmtree(folder)", "(run / 'x').write_text('a')", "open(path, 'wb')", "path.open('a')",
        "os.open(path, flags)", "from lowland.core.files import write_json", "temporary.replace(path)",
        "os.remove(path)",
    ],
)  # fmt: skip
def test_a_write_would_be_seen(line: str) -> None:
    assert list(writes(line))


def test_what_only_reads_is_let_through() -> None:
    lines = (
        "Run.open(path)",
        "open(path, 'rb')",
        "text.replace('a', 'b')",
        "replace(job, name='x')",
        "inside.delete(r, 'x')",
    )
    assert list(writes("\n".join(lines))) == []
