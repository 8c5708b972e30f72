"""Segmentation: DeepLabv3 on networks of ours, its recipes, and trainings that stop and go on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torchvision.models.segmentation.deeplabv3 import ASPPConv

from lowland import spaces
from lowland.core.device import Compute
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.data.segmentation.augmentation import Augmentation
from lowland.data.segmentation.classes import IGNORED
from lowland.data.segmentation.scenes import load
from lowland.evaluation.dense.results import DenseResults
from lowland.evaluation.dense.source import Source, find, of_genotype
from lowland.evaluation.dense.suite import Place
from lowland.evaluation.segmentation import design
from lowland.evaluation.segmentation.deeplab import MAPS, Segmenter, atrous_rates
from lowland.evaluation.segmentation.design import DESIGNS, RECIPES
from lowland.evaluation.segmentation.suite import SegmentationSuite
from lowland.evaluation.segmentation.task import Segmentation, cross_entropy
from lowland.spaces import Shape
from made_scenes import camvid, cityscapes, darts_source, voc

CPU = Compute(device=torch.device("cpu"), channels_last=False)
TINY = Augmentation(base=(64, 48), crop=(48, 48))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset small, smaller still."""
    small = replace(DESIGNS["small"], augmentation=dict.fromkeys(("cityscapes", "camvid", "voc"), TINY))
    monkeypatch.setitem(design.DESIGNS, "small", small)


def segmenter(output_stride: int | None, classes: int = 5) -> Segmenter:
    backbone = darts_source().backbone(MAPS, 0, scratch=False, output_stride=output_stride)
    return Segmenter(backbone, classes, (0.5, 0.4, 0.3), (0.2, 0.2, 0.1))


# --- the model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output_stride", "rates"), [(8, (12, 24, 36)), (16, (6, 12, 18)), (32, (3, 6, 9))])
def test_rates_follow_the_output_stride(output_stride: int, rates: tuple[int, ...]) -> None:
    assert atrous_rates(output_stride) == rates
    model = segmenter(output_stride).eval()
    assert [m[0].dilation for m in model.modules() if isinstance(m, ASPPConv)] == [(rate, rate) for rate in rates]
    with torch.no_grad():
        maps = model.model.backbone(torch.randn(1, 3, 96, 64))
        found = model(torch.randn(2, 3, 50, 75))
    assert {name: tuple(value.shape[1:]) for name, value in maps.items()} == {
        "aux": (32, 96 // min(16, output_stride), 64 // min(16, output_stride)),
        "out": (64, 96 // output_stride, 64 // output_stride),
    }
    assert {name: tuple(value.shape) for name, value in found.items()} == {"out": (2, 5, 50, 75), "aux": (2, 5, 50, 75)}


def test_the_auxiliary_head_of_fourteen_cells_sees_cell_8() -> None:
    """DARTS has no third stage as a ResNet; its last cell before the second reduction ends one."""
    source = find("published:genas-flatness-c100")
    with torch.device("meta"):
        body, maps = source.build(0, 8)
    del body
    assert [(info.name, info.stride) for info in maps[-MAPS:]] == [("cells.8", 8), ("cells.13", 8)]


def test_every_weight_is_learnt_also_of_batch_norms() -> None:
    model = segmenter(16).train()
    before = {name: value.clone() for name, value in model.state_dict().items() if "running_mean" in name}
    labels_NHW = torch.randint(0, 5, (2, 48, 48))
    found = model(torch.randn(2, 3, 48, 48))
    (cross_entropy(found["out"], labels_NHW) + cross_entropy(found["aux"], labels_NHW)).backward()
    without = {name for name, value in model.named_parameters() if value.grad is None}
    assert all("classifier" in name and "backbone" in name for name in without)  # the network's own
    assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items() if name in before)


def test_padding_is_zero_behind_normalisation() -> None:
    model = segmenter(16)
    inside_NHW = torch.zeros(1, 2, 2, dtype=torch.bool)
    inside_NHW[0, 0, 0] = True
    found = model.normalise(torch.full((1, 3, 2, 2), 51.0), inside_NHW)
    assert found[0, :, 0, 0].tolist() == pytest.approx([(0.2 - 0.5) / 0.2, (0.2 - 0.4) / 0.2, (0.2 - 0.3) / 0.1])
    assert not found[0, :, 1].any()


def test_pixels_left_out_have_no_loss() -> None:
    logits_NKHW = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels_NHW = torch.randint(0, 3, (2, 4, 4))
    labels_NHW[0, :2] = IGNORED
    loss = cross_entropy(logits_NKHW, labels_NHW)
    loss.backward()
    assert not logits_NKHW.grad[0, :, :2].any()
    assert float(loss.detach()) == pytest.approx(
        float(nn.functional.cross_entropy(logits_NKHW.detach(), labels_NHW, ignore_index=IGNORED))
    )
    assert float(cross_entropy(logits_NKHW.detach(), torch.full_like(labels_NHW, IGNORED))) == 0.0


# --- recipes -----------------------------------------------------------------------------------------------------


def test_the_preset_paper_is_mmsegmentations() -> None:
    """_base_/schedules/schedule_40k.py, datasets/cityscapes.py, pascal_voc12.py, models/deeplabv3_r50-d8.py."""
    recipe, made = RECIPES["paper"], DESIGNS["paper"]
    assert (recipe.steps, recipe.batch_size, recipe.weight_decay, recipe.momentum) == (40_000, 8, 5e-4, 0.9)
    assert recipe.rate(0, 40_000) == pytest.approx(0.01)
    assert recipe.rate(10_000, 40_000) == pytest.approx((0.01 - 1e-4) * 0.75**0.9 + 1e-4)
    assert (made.output_stride, made.auxiliary) == (8, 0.4)
    assert made.augmentation["cityscapes"] == Augmentation(base=(2048, 1024), crop=(512, 1024))
    assert made.augmentation["voc"].crop == (512, 512)
    assert made.augmentation["cityscapes"].scale == (0.5, 2.0)


def suite(root: Path, **own: Any) -> SegmentationSuite:
    values: dict[str, Any] = {"dataset": "camvid", "root": root, "steps": 3, "batch_size": 4, **own}
    return SegmentationSuite(SegmentationSuite.Config(**values))


def test_data_must_be_named() -> None:
    with pytest.raises(ConfigError, match="--dataset cityscapes, camvid or voc, and its folder with --data-root"):
        SegmentationSuite(SegmentationSuite.Config()).problem()


def test_a_batch_of_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 2 pictures a step, and has 1"):
        suite(camvid(tmp_path), batch_size=1).problem()
    with pytest.raises(ConfigError, match="and has 1"):
        suite(camvid(tmp_path / "one", train=1)).problem()


def test_steps_and_epochs_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="segmentation was given steps and epochs"):
        suite(camvid(tmp_path), epochs=1.0).problem()


def test_another_rate_keeps_the_shape_of_the_schedule(tmp_path: Path) -> None:
    recipe = suite(camvid(tmp_path), preset="paper", steps=None, learning_rate=0.02).problem().recipe
    assert (recipe.learning_rate, recipe.final_learning_rate) == (0.02, pytest.approx(2e-4))


# --- networks that do not suit -----------------------------------------------------------------------------------


def source(space: str, **shape: Any) -> Source:
    of = spaces.get(space)
    return of_genotype(of.sample(np.random.default_rng(0)), Shape(**{"channels": 4, "cells": 3, **shape}), space)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (
            lambda: source("nasbench201", cells=1, image_size=224),
            "nasbench201: output_stride=8 cannot be had: .* not dilated",
        ),
        (lambda: source("darts", image_size=32), "darts: output_stride=8 cannot be had: .* has stride 4 as it is"),
    ],
)
def test_networks_that_cannot_have_the_stride_are_refused(tmp_path: Path, made: Any, said: str) -> None:
    of = suite(camvid(tmp_path), output_stride=8)
    with pytest.raises(ConfigError, match=said):
        of.model(of.problem(), made(), 0)


def test_a_network_of_timm_that_swallows_the_stride_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, output_stride=None, **how: create(name, **how))
    with pytest.raises(ConfigError, match=r"timm:mobilenetv3_small_050 ignores output_stride=16: .* stride 32"):
        find("timm:mobilenetv3_small_050").backbone(MAPS, 0, scratch=False, output_stride=16)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_networks_of_timm(output_stride: int) -> None:
    pytest.importorskip("timm")
    backbone = find("timm:mobilenetv3_small_050").backbone(MAPS, 0, scratch=False, output_stride=output_stride)
    maps = backbone.eval()(torch.zeros(1, 3, 96, 96))
    assert [96 // value.shape[2] for value in maps.values()] == [min(16, output_stride), output_stride]


def test_networks_of_timm_that_refuse_the_stride() -> None:
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match="gives no feature maps of output stride 8"):
        find("timm:vgg11").backbone(MAPS, 0, scratch=False, output_stride=8)


# --- the task ----------------------------------------------------------------------------------------------------


def test_batches_are_functions_of_seed_and_step(tmp_path: Path) -> None:
    task = Segmentation(load("voc", voc(tmp_path)), TINY, 0.4)
    first, same, other = (task.batch([0, 2], 5, step) for step in (1, 1, 2))
    assert torch.equal(first.x_N3HW, same.x_N3HW)
    assert torch.equal(first.labels_NHW, same.labels_NHW)
    assert not torch.equal(first.x_N3HW, other.x_N3HW)
    assert first.x_N3HW.shape == (2, 3, 48, 48)


class Perfect(nn.Module):
    """Knows the labels by the colours of the made-up pictures, at the size of the picture it is shown."""

    def __init__(self, of: dict[int, int], classes: int) -> None:
        super().__init__()
        self.of, self.classes = of, classes

    def normalise(self, x_N3HW: torch.Tensor) -> torch.Tensor:
        return x_N3HW

    def forward(self, x_N3HW: torch.Tensor) -> dict[str, torch.Tensor]:
        kind = torch.where(x_N3HW[:, 0] > 130, 1, torch.where(x_N3HW[:, 2] > 130, 2, 0))
        logits = torch.zeros(1, self.classes, *x_N3HW.shape[2:])
        for each, label in self.of.items():
            logits[:, label] += (kind == each).float()
        return {"out": logits}


def test_judged_at_full_size(tmp_path: Path) -> None:
    """A model that knows all labels has 100 % at the pictures' size, and loses only borders at half of it."""
    data = load("cityscapes", cityscapes(tmp_path))
    model = Perfect({0: 0, 1: 13, 2: 10}, 19)
    whole = Segmentation(data, TINY, 0.4).judge(model, CPU, Monitor())
    assert whole["mIoU"] == 100.0
    assert {key for key in whole if key.startswith("IoU")} == {"IoU road", "IoU car", "IoU sky"}
    half = Segmentation(data, replace(TINY, base=(32, 24)), 0.4).judge(model, CPU, Monitor())
    assert 80 < half["mIoU"] < 100


# --- trainings ---------------------------------------------------------------------------------------------------


class StopAt(Monitor):
    def __init__(self, step: int) -> None:
        self.step = step

    def advance(self, done: int, **facts: Any) -> None:
        self.stopping = "pixel_loss" in facts and done >= self.step


def place(root: Path, monitor: Monitor | None = None) -> Place:
    root.mkdir(exist_ok=True)
    return Place(
        source=darts_source(),
        root=root,
        folder="segmentation",
        compute=CPU,
        seed=1,
        checkpoint_seconds=60.0,
        monitor=monitor or Monitor(),
    )


def test_a_stop_resumes_to_the_same_bytes(tmp_path: Path, tiny: None) -> None:
    data = camvid(tmp_path / "data")
    whole = suite(data).learn(place(tmp_path / "whole"))
    for step in (1, 2):
        root = tmp_path / f"stopped-{step}"
        with pytest.raises(InterruptedRun):
            suite(data).learn(place(root, StopAt(step)))
        assert (root / "segmentation/seed-1/checkpoint.safetensors").is_file()
        torch.manual_seed(step)
        again = suite(data).learn(place(root))
        assert again.outcomes[0].sha256 == whole.outcomes[0].sha256
        assert again.outcomes[0].losses == whole.outcomes[0].losses
        assert again.outcomes[0].metrics == whole.outcomes[0].metrics
    content = [
        (tmp_path / name / "segmentation/seed-1/model.safetensors").read_bytes() for name in ("whole", "stopped-1")
    ]
    assert content[0] == content[1]


def test_results_tell_every_class(tmp_path: Path, tiny: None) -> None:
    made = suite(camvid(tmp_path / "data"), seeds=2, steps=1)
    results = made.learn(place(tmp_path))
    assert [outcome.seed for outcome in results.outcomes] == [1, 2]
    assert set(results.outcomes[0].losses) == {"pixel_loss", "auxiliary_loss"}
    assert results.notes[0] == "output stride 16"
    again = DenseResults.from_json(results.to_json())
    (figure, *_) = made.figures(again)["1"]
    assert (figure.label, figure.unit, figure.n) == ("mIoU", "%", 3)
    (table,) = made.section(again).tables
    told = [row[0] for row in table.rows]
    assert told[0].startswith("mIoU")
    assert any(each.startswith("IoU, road") for each in told)


def test_test_pictures_are_judged_at_the_end_and_decide_nothing(tmp_path: Path, tiny: None) -> None:
    """Weights and validation figures are the same without them; a training that is done is judged on them alone."""
    root = tmp_path / "data"
    without = suite(camvid(root), steps=2).learn(place(tmp_path / "found"))
    assert (without.tested, without.outcomes[0].test) == (None, {})
    made = suite(camvid(root, test=2), steps=2)
    seen = Titles()
    more = made.learn(place(tmp_path / "found", seen))
    assert seen.titles == ["judging on test pictures"], "nothing is trained again"
    assert replace(more.outcomes[0], test={}) == without.outcomes[0]
    fresh = made.learn(place(tmp_path / "fresh", seen))
    assert seen.titles[1:] == ["segmentation, seed 1", "judging", "judging on test pictures"]
    assert (fresh.outcomes[0].sha256, fresh.outcomes[0].test) == (without.outcomes[0].sha256, more.outcomes[0].test)
    task = Segmentation(replace(made.data, val=made.data.test, test=()), TINY, 0.4)
    trained = suite(root).model(made.problem(), darts_source(), 1)
    trained.load_state_dict(load_file(tmp_path / "fresh/segmentation/seed-1/model.safetensors"))
    assert task.judge(trained.eval(), CPU, Monitor()) == fresh.outcomes[0].test
    again = DenseResults.from_json(fresh.to_json())
    assert [(figure.label, figure.n) for figure in made.figures(again)["1"]] == [
        ("mIoU", 3),
        ("pixel accuracy", 3),
        ("mIoU, test", 2),
        ("pixel accuracy, test", 2),
    ]
    validation, test = made.section(again).tables
    assert validation.note.startswith("3 validation pictures")
    assert test.note.startswith("2 test pictures, shown once to the trained models; they chose nothing")


class Titles(Monitor):
    """Keeps what was begun."""

    def __init__(self) -> None:
        self.titles: list[str] = []

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.titles.append(stage)


def test_it_learns(tmp_path: Path, tiny: None) -> None:
    """Three colours are told apart soon."""
    made = suite(camvid(tmp_path / "data"), steps=20)
    found = made.learn(place(tmp_path)).outcomes[0]
    assert found.losses["pixel_loss"][-1] < 0.6 * found.losses["pixel_loss"][0]
