"""The examples in docstrings are true: each estimator against a case whose answer is known in closed form."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import lowland

ROOT = Path(lowland.__file__).parent
MODULES = sorted(
    ".".join(("lowland", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)

ESTIMATORS = {
    "flatness of a quadratic": "lowland.measures.noise.flatness.flatness_value",
    "flatness of a quadratic, from draws": "lowland.measures.noise.flatness.estimate_flatness",
    "R of a linear model": "lowland.measures.noise.robustness.estimate_robustness",
    "SAM's ascent on a quadratic": "lowland.training.sam.Ascent",
    "Hutchinson's trace": "lowland.measures.curvature.hessian_trace.estimate_trace",
    "expected calibration error": "lowland.evaluation.classification.classification",
    "Kendall's τ-b": "lowland.evaluation.ranking.statistics.kendall",
}
"""Estimators that must show a closed form, and what of."""


def found(module: str) -> list[doctest.DocTest]:
    """The doctests of a module that hold examples."""
    tests = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module), module)
    return [test for test in tests if test.examples]


@pytest.mark.parametrize("module", MODULES)
def test_examples_are_true(module: str):
    tests = found(module)
    assert tests, f"{module} holds '>>> ' where doctest finds no example: put it into a docstring"
    runner = doctest.DocTestRunner(verbose=False)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


@pytest.mark.parametrize("name", ESTIMATORS.values(), ids=ESTIMATORS.keys())
def test_estimators_have_an_example(name: str):
    module = name.rpartition(".")[0]
    assert name in {test.name for test in found(module)}, f"{name} shows no closed form in its docstring"
