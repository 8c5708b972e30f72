"""The names of `import lowland` stay what they are, whatever is imported first."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lowland

SUBMODULES = {path.stem for path in Path(lowland.__file__).parent.iterdir() if path.suffix in ("", ".py")}


def test_no_submodule_can_take_the_place_of_a_public_name() -> None:
    """Importing `lowland.x` binds x in `lowland`; only names that are such packages may be called alike."""
    assert set(lowland.__all__) & SUBMODULES == {"measures", "spaces"}


def test_every_name_can_be_the_first_and_all_others_follow() -> None:
    code = """
import importlib, itertools, sys
import lowland
names = [name for name in lowland.__all__ if name != "__version__"]
homes = {name: getattr(lowland, name) for name in names}
for first, second in itertools.permutations(names, 2):
    for name in names:
        lowland.__dict__.pop(name, None)  # as if it had never been asked for
    assert getattr(lowland, first) is homes[first], first
    assert getattr(lowland, second) is homes[second], (first, second)
    importlib.import_module("lowland.workflow.pipeline")
    assert getattr(lowland, first) is homes[first], first
assert callable(lowland.run) and callable(lowland.resume) and callable(lowland.flatness)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
