"""Detection: every trap of torchvision's and COCO's parts, each as a test of what goes wrong without care."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.detection.anchor_utils import AnchorGenerator

from lowland.core.device import Compute
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.monitor import Monitor
from lowland.evaluation.dense.source import find
from lowland.evaluation.dense.suite import Place
from lowland.evaluation.detection import design, retinanet
from lowland.evaluation.detection.design import DESIGNS, RECIPES
from lowland.evaluation.detection.suite import DetectionSuite
from lowland.training.backbone import Backbone
from made_coco import coco, tiny_source

pytest.importorskip("faster_coco_eval")

CPU = Compute(device=torch.device("cpu"), channels_last=False)
TINY = replace(DESIGNS["small"], width=16, groups=4, sides=(64,), longest=64)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """The preset small, smaller still."""
    monkeypatch.setitem(design.DESIGNS, "small", TINY)


def backbone(last: int = 8, *, pretrained: bool = False) -> Backbone:
    return tiny_source(last).backbone(retinanet.STRIDES, 0, scratch=not pretrained)


def detector(of: design.Design = TINY, *, pretrained: bool = False, last: int = 8) -> Any:
    torch.manual_seed(0)
    return retinanet.retinanet(backbone(last, pretrained=pretrained), of, 2, (0.5,) * 3, (0.25,) * 3)


def pictures(count: int = 8, height: int = 64, width: int = 64) -> tuple[list[torch.Tensor], list[Any]]:
    generator = torch.Generator().manual_seed(1)
    images = [torch.rand(3, height, width, generator=generator) for _ in range(count)]
    targets = [{"boxes": torch.tensor([[4.0, 6, 40, 50]]), "labels": torch.tensor([1])} for _ in images]
    return images, targets


# --- the pyramid -----------------------------------------------------------------------------------------------------


def test_p6_is_made_from_c5_also_where_c5_is_as_wide_as_the_pyramid() -> None:
    """torchvision's LastLevelP6P7 takes P5 when the widths are equal, as those of DARTS with C = 16 are at 256."""
    for last in (8, TINY.width):
        last_level = detector(last=last).backbone.fpn.extra_blocks
        assert last_level.use_P5 is False
        assert last_level.p6.in_channels == last
    assert detector(replace(TINY, sixth="P5")).backbone.fpn.extra_blocks.use_P5 is True


def test_anchors_have_the_strides_of_their_maps_at_any_size() -> None:
    """Padded to torchvision's 32, a picture of 320 pixels has a P7 of 3 pixels, and anchors 106 apart."""
    of = replace(TINY, sides=(320,), longest=320)
    seen: list[list[int]] = []
    model = detector(of).eval()
    inner = model.anchor_generator.grid_anchors

    def spy(sizes: Any, strides: Any) -> Any:
        seen.append([int(each[0]) for each in strides])
        return inner(sizes, strides)

    model.anchor_generator.grid_anchors = spy
    with torch.inference_mode():
        model([torch.rand(3, 320, 200), torch.rand(3, 90, 310)])
    assert seen == [[8, 16, 32, 64, 128]]


def test_anchors_of_both_designs() -> None:
    """torchvision cuts sizes to whole pixels, Detectron2 does not."""
    rounded, exact = (detector(replace(TINY, rounded=each)).anchor_generator.cell_anchors[0] for each in (True, False))
    known = AnchorGenerator(((32, 40, 50),), ((0.5, 1.0, 2.0),)).cell_anchors[0]
    assert torch.equal(rounded, known)
    areas = sorted(((exact[:, 2] - exact[:, 0]) * (exact[:, 3] - exact[:, 1])).tolist())
    assert areas == pytest.approx(sorted([(32 * 2 ** (i / 3)) ** 2 for i in range(3)] * 3), rel=1e-5)


# --- norms -----------------------------------------------------------------------------------------------------------


def test_from_scratch_batch_norm_is_learnt_and_pyramid_and_head_have_group_norm() -> None:
    """Frozen at random weights it is none (pytorch/vision#5443)."""
    for preset in ("small", "torchvision", "detectron2"):
        model = detector(replace(DESIGNS[preset], width=16, groups=4)).train()
        norms = [module for module in model.backbone.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
        assert norms
        assert all(norm.training and norm.weight.requires_grad for norm in norms)
        for part in (model.backbone.fpn, model.head):
            assert any(isinstance(module, nn.GroupNorm) for module in part.modules())
            assert not any(isinstance(module, nn.BatchNorm2d) for module in part.modules())


def test_a_trained_backbone_keeps_its_batch_norm() -> None:
    for preset, frozen in (("small", 0), ("torchvision", 0), ("detectron2", 2)):
        model = detector(replace(DESIGNS[preset], width=16, groups=4), pretrained=True).train()
        body = model.backbone.backbone.body
        norms = [module for module in body.modules() if isinstance(module, nn.BatchNorm2d)]
        assert not any(norm.training or norm.weight.requires_grad for norm in norms)
        still = [stage[0].weight.requires_grad for stage in body.stages]
        assert still == [False] * frozen + [True] * (5 - frozen), "stem and first stage"
        grouped = any(isinstance(module, nn.GroupNorm) for module in model.head.modules())
        assert grouped == (preset == "small"), "Detectron2 and torchvision have no norm there"


def test_from_scratch_a_step_shows_at_least_eight_pictures(tmp_path: Path, tiny: None) -> None:
    config = DetectionSuite.Config(coco=coco(tmp_path), batch_size=4)
    suite = DetectionSuite(config)
    source = tiny_source(trained=False)
    with pytest.raises(ConfigError, match="needs at least 8 pictures a step, and has 4; raise batch_size"):
        suite.model(suite.problem(), source, 0)
    suite.model(suite.problem(), tiny_source(), 0)  # trained: its batch norms are frozen


# --- losses ----------------------------------------------------------------------------------------------------------


def test_losses_are_fp32_whatever_the_precision_of_convolutions() -> None:
    model = detector().train()
    images, targets = pictures(2)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(images, targets)
    assert {value.dtype for value in found.values()} == {torch.float32}


def test_detectron2_divides_by_a_running_mean_of_positives() -> None:
    """n ← 0.9·n + 0.1·positives from 100, over the whole step; torchvision divides by each picture's own."""
    plain, running = detector().train(), detector(replace(TINY, normaliser="running")).train()
    running.load_state_dict(plain.state_dict(), strict=False)
    images, targets = pictures(1)
    counted: list[int] = []
    inner = plain.head.compute_loss

    def spy(targets: Any, outputs: Any, anchors: Any, matched: Any) -> Any:
        counted.append(int((matched[0] >= 0).sum()))
        return inner(targets, outputs, anchors, matched)

    plain.head.compute_loss = spy
    known, found = plain(images, targets), running(images, targets)
    (positives,) = counted
    normaliser = 0.9 * 100 + 0.1 * positives
    assert positives > 1
    assert float(running.head.normaliser) == pytest.approx(normaliser)
    assert found["classification"].item() == pytest.approx(known["classification"].item() * positives / normaliser)
    assert found["bbox_regression"].item() == pytest.approx(
        known["bbox_regression"].item() * positives / normaliser, rel=1e-5
    )
    assert "head.normaliser" in running.state_dict(), "so that a resumed training goes on with it"


def test_presets_are_the_published_recipes() -> None:
    d2, tv = RECIPES["detectron2"], RECIPES["torchvision"]
    assert d2.total_steps(117_266) == 90_000
    assert [d2.rate(step, 90_000) for step in (0, 1000, 60_000, 80_000)] == pytest.approx([1e-5, 1e-2, 1e-3, 1e-4])
    assert not d2.norm_decay
    epochs = tv.total_steps(117_266) / tv.steps_per_epoch(117_266)
    assert epochs == 26
    assert DESIGNS["detectron2"].sides == (640, 672, 704, 736, 768, 800)
    assert (DESIGNS["detectron2"].boxes, DESIGNS["torchvision"].boxes) == (100, 300)


# --- from the network to the figure ----------------------------------------------------------------------------------


def place(root: Path, monitor: Monitor | None = None, *, trained: bool = True) -> Place:
    root.mkdir(exist_ok=True)
    return Place(
        source=tiny_source(trained=trained),
        root=root,
        folder="detection",
        compute=CPU,
        seed=5,
        checkpoint_seconds=1e-9,
        monitor=monitor or Monitor(),
    )


def study(data: Path, **settings: Any) -> DetectionSuite:
    return DetectionSuite(DetectionSuite.Config(coco=data, **({"steps": 4, "batch_size": 8} | settings)))


class StopAt(Monitor):
    def __init__(self, stage: str, done: int) -> None:
        self.stage, self.at, self.now = stage, done, ""

    def start(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        self.now = stage

    def advance(self, done: int, **facts: Any) -> None:
        self.stopping = self.now.startswith(self.stage) and done >= self.at


def content(root: Path) -> dict[str, Any]:
    """All files of a study, without times."""
    found: dict[str, Any] = {}
    for file in sorted(path for path in root.rglob("*") if path.is_file()):
        name = file.relative_to(root).as_posix()
        found[name] = file.read_bytes()
        if file.suffix == ".json":
            values = json.loads(found[name])
            values.get("outcome", {}).pop("seconds", None)
            found[name] = values
    return found


def test_a_stop_anywhere_ends_in_the_same_bytes(tmp_path: Path, tiny: None) -> None:
    data = coco(tmp_path / "data")
    whole = study(data, seeds=2).learn(place(tmp_path / "whole"))
    known = content(tmp_path / "whole")
    assert [outcome.seed for outcome in whole.outcomes] == [5, 6]
    assert list(known) == [
        f"detection/seed-{seed}/{name}" for seed in (5, 6) for name in ("model.safetensors", "outcome.json")
    ]
    for number, monitor in enumerate(
        [StopAt("detection, seed 5", 2), StopAt("judging", 1), StopAt("detection, seed 6", 3)]
    ):
        root = tmp_path / f"stopped{number}"
        with pytest.raises(InterruptedRun):
            study(data, seeds=2).learn(place(root, monitor))
        study(data, seeds=2).learn(place(root))
        assert content(root) == known


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_retinanet import TINY, place, study
from lowland.core.monitor import Monitor
from lowland.evaluation.detection import design
design.DESIGNS["small"] = TINY

class Telling(Monitor):
    def advance(self, done, **facts):
        print(done, flush=True)

study(Path(sys.argv[2])).learn(place(Path(sys.argv[3]), Telling()))
"""


@pytest.mark.slow
def test_a_kill_ends_in_the_same_bytes(tmp_path: Path, tiny: None) -> None:
    data = coco(tmp_path / "data")
    study(data).learn(place(tmp_path / "whole"))
    root = tmp_path / "killed"
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here.parents[1]), *sys.path])
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(here), str(data), str(root)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline().strip() != "3":
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
    assert (root / "detection/seed-5/checkpoint.safetensors").exists()
    study(data).learn(place(root))
    assert content(root) == content(tmp_path / "whole")


def test_another_setting_is_another_training(tmp_path: Path, tiny: None) -> None:
    data = coco(tmp_path / "data")
    first = study(data).learn(place(tmp_path))
    assert study(data).learn(place(tmp_path)) == first
    other = study(data, learning_rate=1e-4).learn(place(tmp_path))
    assert other.outcomes[0].sha256 != first.outcomes[0].sha256


def test_trained_weights_are_the_default_and_what_it_was_is_said(tmp_path: Path, tiny: None) -> None:
    data = coco(tmp_path / "data")
    said: list[str] = []

    class Heard(Monitor):
        def say(self, line: str) -> None:
            said.append(line)

    trained = study(data, steps=1).learn(place(tmp_path / "a", Heard()))
    fresh = study(data, steps=1, scratch=True).learn(place(tmp_path / "b", Heard()))
    none = study(data, steps=1).learn(place(tmp_path / "c", Heard(), trained=False))
    assert [each.weights for each in (trained, fresh, none)] == [
        "with its trained weights",
        "from scratch, though it has trained weights",
        "from scratch (it has no trained weights)",
    ]
    assert all(each.weights in line for each, line in zip((trained, fresh, none), said, strict=True))
    state = [tiny_source().backbone((8,), 5, scratch=each).state_dict() for each in (False, True)]
    assert not torch.equal(state[0]["body.stages.0.0.weight"], state[1]["body.stages.0.0.weight"])


def test_it_learns(tmp_path: Path, tiny: None) -> None:
    """On its own training pictures, the loss falls by a third at least."""
    found = study(coco(tmp_path / "data"), steps=30, learning_rate=3e-3).learn(place(tmp_path))
    losses = found.outcomes[0].losses
    total = np.sum([losses["class_loss"], losses["box_loss"]], axis=0)
    assert total[-5:].mean() < 0.67 * total[:2].mean()


def test_steps_and_epochs_exclude_each_other_and_epochs_replace_a_presets_steps(tmp_path: Path) -> None:
    data = coco(tmp_path)
    with pytest.raises(ConfigError, match="was given steps and epochs"):
        study(data, epochs=1.0).problem()
    recipe = DetectionSuite(DetectionSuite.Config(coco=data, preset="detectron2", epochs=2.0)).problem().recipe
    assert recipe.total_steps(160) == 20


def test_without_pictures_it_says_what_is_missing() -> None:
    with pytest.raises(ConfigError, match="name a folder in COCO's layout with --coco"):
        DetectionSuite(DetectionSuite.Config()).problem()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("published:genas", "unknown published network 'genas'"),
        ("timm:resnet81", "timm has no model 'resnet81'"),
        ("runs/nowhere", "is no run or network folder"),
    ],
)
def test_networks_that_there_are_not(name: str, said: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match=said):
        find(name)


def test_every_published_network_has_the_maps() -> None:
    """Table 4 needs DARTS' cells 3, 8 and 13."""
    found = find("published:genas-flatness-c100").backbone(retinanet.STRIDES, 0, scratch=False)
    assert not found.pretrained
    assert [(info.channels, info.stride) for info in found.maps] == [(184, 8), (368, 16), (736, 32)]
    assert [info.name for info in found.maps] == ["cells.3", "cells.8", "cells.13"]


def test_timm_networks_have_the_maps() -> None:
    pytest.importorskip("timm")
    found = find("timm:mobilenetv3_small_050").backbone(retinanet.STRIDES, 0, scratch=False)
    maps = found(torch.zeros(1, 3, 128, 64))
    assert [tuple(value.shape[2:]) for value in maps.values()] == [(16, 8), (8, 4), (4, 2)]
    assert [value.shape[1] for value in maps.values()] == [info.channels for info in found.maps]
