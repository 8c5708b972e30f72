"""Every built-in suite, and one of somebody else's, keeps every promise of `Suite`."""

from __future__ import annotations

from typing import Any, ClassVar

import toy_suite
from lowland.core.registry import SUITES
from lowland.testing import EvaluationSuite


class TestClassification(EvaluationSuite):
    name = "classification"


class TestCorruptions(EvaluationSuite):
    name = "corruptions"
    options: ClassVar[dict[str, Any]] = {"names": ["gaussian_noise", "contrast"], "severities": [1, 5], "images": 20}


class TestLandscape(EvaluationSuite):
    name = "landscape"
    options: ClassVar[dict[str, Any]] = {"sigmas": [0.0, 0.01], "draws": 2, "images": 30, "random_genotypes": 2}


class TestDarkness(EvaluationSuite):
    name = toy_suite.Darkness.name


def test_every_built_in_suite_is_tested_here() -> None:
    tested = {case.name for case in EvaluationSuite.__subclasses__()}
    assert tested >= {entry.name for entry in SUITES.built_in()}
