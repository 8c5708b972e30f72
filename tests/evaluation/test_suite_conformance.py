"""Every built-in suite, and one of somebody else's, keeps every promise of `Suite`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import toy_suite
from lowland.core.config import RetrainConfig
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.registry import SUITES
from lowland.data import DataSet
from lowland.data.segmentation.augmentation import Augmentation
from lowland.data.shift import CIFAR10, cifar100, group, wnids
from lowland.delivery.network import Network
from lowland.evaluation.contest import Terms
from lowland.evaluation.dense.suite import Place
from lowland.evaluation.detection.design import DESIGNS
from lowland.evaluation.references import Trial
from lowland.evaluation.segmentation.design import DESIGNS as SEGMENTERS
from lowland.evaluation.suite import EvaluationContext
from lowland.spaces import Shape
from lowland.testing import EvaluationSuite
from lowland.testing.evaluation import Parts
from lowland.testing.tiny import CPU
from lowland.training import network as network_training
from made_coco import coco, tiny_source
from made_scenes import camvid, darts_source
from published_sets import Reader, cifar_arrays, data_of, imagenet_data, pictures


class TestClassification(EvaluationSuite):
    name = "classification"


class TestCorruptions(EvaluationSuite):
    name = "corruptions"
    options: ClassVar[dict[str, Any]] = {"names": ["gaussian_noise", "contrast"], "severities": [1, 5], "images": 20}

    def test_networks_are_judged_in_the_precision_they_were_trained_in(self, data: DataSet) -> None:
        seen: set[torch.dtype] = set()

        class Shown(nn.Linear):
            def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
                logits_NK = super().forward(x_NCHW.flatten(1)[:, :1])
                seen.add(logits_NK.dtype)
                return logits_NK

        compute = replace(CPU, autocast_dtype=torch.bfloat16)
        context = replace(self.context(data, Parts()), compute=compute)
        self.suite().run({"1": Shown(1, data.num_classes)}, context)
        assert seen == {torch.bfloat16}


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


class TestCalibration(EvaluationSuite):
    name = "calibration"


class OnImageNet:
    """Tiny sets of the first classes that ImageNet-A, -O and -R share, and networks that read them."""

    labels: ClassVar[list[int]] = sorted(group("a") & group("o") & group("r"))[:4]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def published(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        shown = {wnids()[label]: [label, cls.labels[0]] for label in cls.labels}
        folder = tmp_path_factory.mktemp("published")
        cls.options = {key: str(pictures(folder / key, shown)) for key in cls.keys}

    keys: ClassVar[tuple[str, ...]] = ("folder",)

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> DataSet:
        return imagenet_data(cls.labels)

    @pytest.fixture(scope="class")
    @classmethod
    def networks(cls) -> dict[str, nn.Module]:
        return {"1": Reader(cls.labels).eval(), "2": Reader(cls.labels[::-1]).eval()}


class TestImageNetV2(OnImageNet, EvaluationSuite):
    name = "imagenet-v2"


class TestImageNetSketch(OnImageNet, EvaluationSuite):
    name = "imagenet-sketch"


class TestImageNetA(OnImageNet, EvaluationSuite):
    name = "imagenet-a"
    keys = ("folder", "clean")


class TestImageNetR(OnImageNet, EvaluationSuite):
    name = "imagenet-r"


class TestImageNetO(OnImageNet, EvaluationSuite):
    name = "imagenet-o"
    keys = ("folder", "clean")


class TestOutOfDistribution(OnImageNet, EvaluationSuite):
    name = "ood"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def published(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("others")
        cls.options = {"folders": [str(pictures(folder / name, {"": [7, 8, 30]})) for name in ("dtd", "noise")]}


class TestImageNetC(OnImageNet, EvaluationSuite):
    name = "imagenet-c"

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def published(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("published")
        for severity in ("1", "3"):
            shown = {wnids()[label]: [label, cls.labels[0]] for label in cls.labels}
            pictures(folder / "blur" / "zoom_blur" / severity, shown, side=(224, 224))
        cls.options = {"folder": str(folder), "names": ["zoom_blur"], "severities": [1, 3]}


class OnCifar:
    """Tiny sets of CIFAR's classes, and networks that read them."""

    classes: ClassVar[tuple[str, ...]] = CIFAR10

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def published(cls, tmp_path_factory: pytest.TempPathFactory) -> None:
        folder = tmp_path_factory.mktemp("published")
        labels = np.arange(12, dtype=np.uint8) % len(cls.classes)
        np.save(folder / "labels.npy", np.tile(labels, 5))
        np.save(folder / "fog.npy", cifar_arrays(np.tile(labels, 5)))
        np.save(folder / "cifar10.1_v6_data.npy", cifar_arrays(labels))
        np.save(folder / "cifar10.1_v6_labels.npy", labels.astype(np.int32))
        cls.options = {"folder": str(folder)} | cls.own

    own: ClassVar[dict[str, Any]] = {"names": ["fog"], "severities": [2, 5]}

    @pytest.fixture(scope="class")
    @classmethod
    def data(cls) -> DataSet:
        return data_of(cls.classes, range(len(cls.classes)), size=32)

    @pytest.fixture(scope="class")
    @classmethod
    def networks(cls) -> dict[str, nn.Module]:
        return {"1": Reader(range(len(cls.classes))).eval()}


class TestCifar10C(OnCifar, EvaluationSuite):
    name = "cifar10-c"


class TestCifar100C(OnCifar, EvaluationSuite):
    name = "cifar100-c"
    classes = cifar100()


class TestCifar101(OnCifar, EvaluationSuite):
    name = "cifar10.1"
    own: ClassVar[dict[str, Any]] = {}


class Dense:
    """Training times differ; trainings lie in a folder of the run, here a new one each time."""

    source: ClassVar[Any]
    """() → the backbone's source."""

    @classmethod
    def context(cls, data: DataSet, parts: Parts, monitor: Monitor | None = None) -> EvaluationContext:
        context = super().context(data, parts, monitor)
        place = Place(
            source=cls.source(),
            root=cls.new_folder(),
            folder=cls.name,
            compute=CPU,
            seed=context.seed,
            checkpoint_seconds=60.0,
            monitor=context.monitor,
        )
        return replace(context, place=lambda name: place)

    @classmethod
    def comparable(cls, found: Any) -> Any:
        plain = found.to_json()
        for outcome in plain["outcomes"]:
            del outcome["seconds"]
        return plain


class TestDetection(Dense, EvaluationSuite):
    name = "detection"
    source = staticmethod(tiny_source)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def folders(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        pytest.importorskip("faster_coco_eval")
        cls.new_folder = lambda: tmp_path_factory.mktemp("detection")
        cls.options = {"coco": str(coco(tmp_path_factory.mktemp("coco"))), "steps": 1}
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(DESIGNS, "small", replace(DESIGNS["small"], width=16, groups=4, sides=(64,), longest=64))
            yield


class TestSegmentation(Dense, EvaluationSuite):
    name = "segmentation"
    source = staticmethod(darts_source)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def folders(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        cls.new_folder = lambda: tmp_path_factory.mktemp("segmentation")
        root = camvid(tmp_path_factory.mktemp("camvid"))
        cls.options = {"dataset": "camvid", "root": str(root), "steps": 1, "batch_size": 2}
        small = Augmentation(base=(64, 48), crop=(32, 32))
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(SEGMENTERS, "small", replace(SEGMENTERS["small"], augmentation={"camvid": small}))
            yield


class TestDarkness(EvaluationSuite):
    name = toy_suite.Darkness.name


def test_every_built_in_suite_is_tested_here() -> None:
    tested = {case.name for case in EvaluationSuite.__subclasses__()}
    assert tested >= {entry.name for entry in SUITES.built_in()}
