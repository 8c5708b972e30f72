"""Contests: what a network cannot follow of a recipe, and what makes a training or a judgement another one."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lowland.core.config import Config, RetrainConfig
from lowland.core.device import resolve
from lowland.core.errors import ConfigError, RunError
from lowland.core.monitor import Monitor
from lowland.evaluation.comparison import Hits
from lowland.evaluation.contest import Training
from lowland.evaluation.references import Trial, references_result
from lowland.evaluation.terms import ShiftedImages, Terms
from lowland.spaces import Shape
from lowland.spaces.references import find
from lowland.store.checkpoint_file import CheckpointFile

needs_timm = pytest.mark.skipif(find_spec("timm") is None, reason="needs the extra timm")

DARTS_RECIPE = RetrainConfig(auxiliary_weight=0.4, drop_path=0.2)


def terms(**changes: Any) -> Terms:
    values = {
        "recipe": RetrainConfig(),
        "data": SimpleNamespace(fingerprint="f"),
        "compute": resolve(Config().compute.model_copy(update={"precision": "fp32"})),
        "seed": 0,
        "batch_size": 10,
        "shifted": None,
        "checkpoint_seconds": 30.0,
        "monitor": Monitor(),
    }
    return Terms(**{**values, **changes})


@pytest.mark.parametrize(
    ("name", "lacking"),
    [
        ("darts-v2", ()),
        ("resnet-cell", ("auxiliary_weight",)),
        ("mobilenetv3", ("auxiliary_weight",)),
        pytest.param("timm:resnet10t", ("auxiliary_weight", "drop_path"), marks=needs_timm),
    ],
)
def test_a_recipe_is_followed_but_for_what_a_network_has_not(name: str, lacking: tuple[str, ...]) -> None:
    reference = find(name, "darts", 32)
    assert terms(recipe=DARTS_RECIPE).lacking(reference) == lacking
    assert terms().lacking(reference) == ()
    assert terms().followed_by(reference) == RetrainConfig()
    followed = terms(recipe=DARTS_RECIPE).followed_by(reference)
    changed = {key for key, value in followed if value != getattr(DARTS_RECIPE, key)}
    assert changed == set(lacking)
    assert all(getattr(followed, key) == 0 for key in lacking)


def test_whatever_decides_a_result_is_part_of_its_digest() -> None:
    shape = Shape(image_size=8, channels=4, cells=1)
    one = Training(
        reference=find("resnet-cell", "nasbench201", 8), shape=shape, seed=0, root=Path("a"), folder=Path("a/b")
    )
    others = [
        replace(one, seed=1),
        replace(one, shape=replace(shape, channels=6)),
        replace(one, reference=find("all-conv3x3", "nasbench201", 8)),
        replace(one, digest="of a delivered network"),
    ]
    tasks = {each.task(terms()) for each in (one, *others)}
    tasks |= {one.task(terms(recipe=RetrainConfig(epochs=7))), one.task(terms(data=SimpleNamespace(fingerprint="g")))}
    assert len(tasks) == 7
    assert one.task(terms(recipe=RetrainConfig(top=3, recipe="cifar"), batch_size=3)) == one.task(terms())

    shifted = ShiftedImages(images=[0] * 9, names=("fog",), severities=(1,))  # type: ignore[arg-type]
    ways = [None, shifted, replace(shifted, names=("snow",)), replace(shifted, severities=(2,))]
    ways += [replace(shifted, limit=5), replace(shifted, source="elsewhere")]
    assert len({one.judging(terms(shifted=each)) for each in ways}) == len(ways)
    assert one.judging(terms(shifted=replace(shifted, limit=9))) == one.judging(terms(shifted=shifted))


def test_a_checkpoint_belongs_to_one_training_and_damage_is_told(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path, "checkpoint.safetensors")
    assert file.load_checkpoint("a") is None
    file.save_checkpoint("a", {}, {"step": 3})
    assert file.load_checkpoint("a") == ({}, {"step": 3})
    assert file.load_checkpoint("b") is None
    assert CheckpointFile(tmp_path, "checkpoint.safetensors", "of another recipe").load_checkpoint("a") is None
    (tmp_path / file.relative).write_bytes((tmp_path / file.relative).read_bytes()[:-3])
    with pytest.raises(RunError, match=r"is damaged .*; delete it to begin that training anew"):
        file.load_checkpoint("a")
    file.drop()
    file.drop()
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_needs_a_seed(tmp_path: Path) -> None:
    trial = Trial(delivered=None, digest="", terms=terms(), folder=tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least 1 seed, got 0"):
        references_result(trial, [], seeds=0)


def test_nothing_of_a_contest_leaves_its_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "trained.json").write_text("{}")
    (tmp_path / "contest" / "networks").mkdir(parents=True)
    (tmp_path / "contest" / "networks" / "one").symlink_to(outside)
    root = tmp_path / "contest"
    shape = Shape(in_channels=1, num_classes=3, image_size=8, channels=4, cells=1)
    one = Training(
        reference=find("resnet-cell", "nasbench201", 8),
        shape=shape,
        seed=0,
        root=root,
        folder=root / "networks" / "one",
    )
    with pytest.raises(RunError, match="is a link"):
        one.facts(terms())
    with pytest.raises(RunError, match="is a link"):
        one.keep(Hits(correct_N=torch.ones(3, dtype=torch.bool), corrupted_M=None, of=0), terms())
    assert [file.name for file in outside.iterdir()] == ["trained.json"]
