"""Delivered networks see pictures as the training images were seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lowland import spaces
from lowland.core.config import DataConfig
from lowland.core.errors import DataError
from lowland.core.seeds import numpy_rng
from lowland.data import DataSet
from lowland.data import load as load_data
from lowland.delivery import network as delivery
from lowland.spaces import Shape


def delivered(root: Path, fit: str, *, suffix: str = "png") -> tuple[DataSet, delivery.Network]:
    """A folder of oblong pictures, and an untrained network delivered for it."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 2)):
        for name in ("a", "b"):
            (root / "set" / part / name).mkdir(parents=True)
            for i in range(count):
                picture = Image.fromarray(rng.integers(0, 256, (30, 48, 3), dtype=np.uint8))
                picture.save(root / "set" / part / name / f"{i}.{suffix}")
    data = load_data(DataConfig.model_validate({"name": str(root / "set"), "fit": fit, "image_size": 16}), seed=0)
    space = spaces.get("nasbench201")
    shape = Shape(in_channels=3, image_size=16, num_classes=2, channels=4, cells=1)
    genotype = space.sample(numpy_rng(0))
    (root / "network").mkdir()
    delivery.save(root / "network", space.network(genotype, shape), genotype, shape, data, {})
    return data, delivery.load(root / "network")


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_pictures_are_fitted_as_the_training_images_were(tmp_path: Path, fit: str, suffix: str) -> None:
    data, network = delivered(tmp_path, fit, suffix=suffix)
    assert network.fit == data.fit == fit
    seen = {x.numpy().tobytes() for x in data.normalise(data.test.images(torch.arange(4)))}
    pictures = [Image.open(path) for path in tmp_path.glob("set/test/*/*")]
    assert {x.numpy().tobytes() for x in network.preprocess(pictures)} == seen


def test_networks_of_before_crop(tmp_path: Path) -> None:
    data, _ = delivered(tmp_path, "crop")
    file = tmp_path / "network" / "network.json"
    facts = json.loads(file.read_text())
    assert facts.pop("fit") == "crop"
    del facts["digest"]  # is newer still
    file.write_text(json.dumps(facts))
    seen = {x.numpy().tobytes() for x in data.normalise(data.test.images(torch.arange(4)))}
    pictures = [Image.open(path) for path in tmp_path.glob("set/test/*/*")]
    assert {x.numpy().tobytes() for x in delivery.load(tmp_path / "network").preprocess(pictures)} == seen


def test_arrays_of_one_channel_are_grey_and_others_are_refused(tmp_path: Path) -> None:
    _, network = delivered(tmp_path, "crop")
    levels = np.random.default_rng(1).integers(0, 256, (20, 20), dtype=np.uint8)
    assert torch.equal(network.preprocess(levels[..., None]), network.preprocess(levels))
    for array in (np.zeros((3, 20, 20), np.uint8), np.zeros((20, 20, 3)), np.zeros((20, 20, 3), np.int64)):
        with pytest.raises(DataError, match=r"image 1 cannot be used: arrays must be uint8 of shape H×W, .* not "):
            network.preprocess([levels, array])
