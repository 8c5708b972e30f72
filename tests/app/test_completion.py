"""The shell completes names, and imports no torch for it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from lowland.app import completion
from lowland.app.callbacks import READY
from lowland.workflow.presets import PRESETS, RECIPES


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("lowland run --space nas", {"nasbench201"}),
        ("lowland run --preset fl", {"flatnas"}),
        ("lowland run --measure angle+flatne", {"angle+flatness"}),
        ("lowland run --data fash", {"fashion-mnist-6k", "fashion-mnist"}),
        ("lowland run --set retrain.pat", {"retrain.patience="}),
        ("lowland evaluate x --suite classification,land", {"classification,landscape"}),
        ("lowland measures hess", {"hessian_trace"}),
        ("lowland settings compu", {"compute"}),
        ("lowland resume x --restart tr", {"train"}),
        ("lowland diff", {"diff"}),
    ],
)
def test_names_are_completed_without_torch(words: str, expected: set[str]) -> None:
    code = (
        "import sys, runpy\n"
        "try: runpy.run_module('lowland', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)\n"
    )
    told = {"_LOWLAND_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | told, check=False
    )
    assert said.returncode == 0, said.stderr
    assert expected <= set(said.stdout.split())


def test_completion_can_be_installed() -> None:
    said = subprocess.run([sys.executable, "-m", "lowland", "--help"], capture_output=True, text=True, check=True)
    assert "--install-completion" in said.stdout


def test_names_written_out_are_those_there_are() -> None:
    assert {part for name in completion.PRESETS for part in name.split("+")} == {*PRESETS}
    assert set(completion.RECIPES) == {*RECIPES}
    assert set(completion.LOGGERS) == {*READY}
