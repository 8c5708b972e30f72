"""Every built-in suite, and one of somebody else's, keeps every promise of `Suite`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

import toy_suite
from lowland.core.config import RetrainConfig
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.registry import SUITES
from lowland.data import DataSet
from lowland.delivery.network import Network
from lowland.evaluation.contest import Terms
from lowland.evaluation.references import Trial
from lowland.evaluation.suite import EvaluationContext
from lowland.spaces import Shape
from lowland.testing import EvaluationSuite
from lowland.testing.evaluation import Parts
from lowland.training import network as network_training


class TestClassification(EvaluationSuite):
    name = "classification"


class TestCorruptions(EvaluationSuite):
    name = "corruptions"
    options: ClassVar[dict[str, Any]] = {"names": ["gaussian_noise", "contrast"], "severities": [1, 5], "images": 20}


class TestLandscape(EvaluationSuite):
    name = "landscape"
    options: ClassVar[dict[str, Any]] = {"sigmas": [0.0, 0.01], "draws": 2, "images": 30, "random_genotypes": 2}


class TestReferences(EvaluationSuite):
    """Training times differ; networks and hits lie in a folder of the run, here a new one each time."""

    name = "references"
    options: ClassVar[dict[str, Any]] = {"names": ["resnet-cell"], "corruptions": False}

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def folders(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        cls.new_folder = lambda: tmp_path_factory.mktemp("references")

    @classmethod
    def context(cls, data: DataSet, parts: Parts, monitor: Monitor | None = None) -> EvaluationContext:
        context = super().context(data, parts, monitor)
        terms = Terms(
            recipe=RetrainConfig(epochs=1, batch_size=30),
            data=data,
            compute=context.compute,
            seed=context.seed,
            batch_size=context.batch_size,
            shifted=None,
            checkpoint_seconds=100.0,
            monitor=context.monitor,
        )
        shape = Shape(in_channels=1, image_size=8, num_classes=3, channels=4, cells=1)
        genotype = Genotype("nasbench201", (1, 2, 3, 1, 2, 3))
        delivered = Network(
            network_training.build(genotype, shape, terms.recipe, 0).eval(),
            genotype=genotype,
            shape=shape,
            classes=data.classes,
            mean=data.mean,
            std=data.std,
            facts={},
        )
        trial = Trial(delivered=delivered, digest="0" * 64, terms=terms, folder=cls.new_folder())
        return replace(context, trial=lambda corrupted: trial)

    @classmethod
    def comparable(cls, found: Any) -> Any:
        values = found.to_json()
        for seed in (seed for network in values["networks"] for seed in network["seeds"]):
            del seed["seconds"]
        return values


class TestDarkness(EvaluationSuite):
    name = toy_suite.Darkness.name


def test_every_built_in_suite_is_tested_here() -> None:
    tested = {case.name for case in EvaluationSuite.__subclasses__()}
    assert tested >= {entry.name for entry in SUITES.built_in()}
