"""Resolution: networks that resize their images, in the cell spaces by their shape."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lowland import spaces
from lowland.core.config import Config, DataConfig
from lowland.core.errors import ConfigError
from lowland.data import load
from lowland.spaces import Shape
from lowland.spaces.width import fitted
from lowland.testing.spaces.cases import samples
from lowland.workflow.network_size import check_limits
from spaces.delivered import came_back

PLAIN = {"nasbench201": Shape(image_size=16, channels=10, cells=2), "darts": Shape(image_size=16, channels=6, cells=3)}


def test_sides_are_rounded_half_up() -> None:
    assert [Shape(image_size=28, resolution=r).side for r in (1.0, 1.5, 0.875, 0.125)] == [28, 42, 25, 4]
    assert "resolution" not in Shape().described()


@pytest.mark.parametrize("name", list(PLAIN))
def test_it_is_the_same_network_on_resized_images(name: str) -> None:
    space, shape = spaces.get(name), replace(PLAIN[name], resolution=1.5)
    (genotype,) = samples(space, 1, seed=3)
    network, plain = (space.network(genotype, of).eval() for of in (shape, replace(shape, resolution=1.0)))
    plain.load_state_dict(network.state_dict())
    x_NCHW = torch.randn(3, 3, 16, 16)
    larger_NCHW = functional.interpolate(x_NCHW, (24, 24), mode="bilinear", antialias=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(x_NCHW), plain(larger_NCHW))
        torch.testing.assert_close(network(torch.zeros(1, 3, 40, 40)), network(torch.zeros(1, 3, 16, 16)))
        assert network.features(x_NCHW)[0].shape[2:] == (24, 24)
    assert network.resolution == 24


@pytest.mark.parametrize("name", list(PLAIN))
def test_parameters_stay_and_arithmetic_is_that_of_the_larger_images(name: str) -> None:
    space, shape = spaces.get(name), PLAIN[name]
    (genotype,) = samples(space, 1, seed=3)
    found = space.cost(genotype, replace(shape, resolution=1.5))
    assert found == space.cost(genotype, replace(shape, image_size=24))
    assert found.parameters == space.cost(genotype, shape).parameters
    # Under a limit of arithmetic, a lower resolution leaves room for width.
    widths = [
        fitted(space, genotype, replace(shape, resolution=resolution), macs=20_000_000).channels
        for resolution in (0.5, 1.0, 1.5)
    ]
    assert widths == sorted(widths, reverse=True)
    assert len(set(widths)) == 3


@pytest.mark.parametrize("name", spaces.registered())
def test_supernets_work_on_images_as_they_are(name: str) -> None:
    with pytest.raises(ConfigError, match="resolution=2"):
        spaces.get(name).supernet(Shape(image_size=16, channels=8, cells=1, resolution=2))


@pytest.mark.parametrize(("name", "resolution"), [("nasbench201", 0.1), ("darts", 9.0), ("mobilenetv3-small", 2.0)])
def test_what_is_not_built_is_refused(name: str, resolution: float) -> None:
    with pytest.raises(ConfigError, match="resolution"):
        spaces.get(name).check(Shape(image_size=32, channels=8, cells=1, resolution=resolution))


def test_too_few_pixels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"3 pixels are too small.* enlarge network\.resolution"):
        spaces.get("nasbench201").check(Shape(image_size=12, channels=8, cells=1, resolution=0.25))


def test_spaces_whose_genes_decide_it_refuse_the_setting() -> None:
    config = Config.model_validate({"space": "mobilenetv3-small", "search": {"resolutions": [1.0, 1.5]}})
    with pytest.raises(ConfigError, match=r"leave network.resolution and search.resolutions out \(they are 1, 1.5\)"):
        check_limits(config, load(DataConfig(limit=60), seed=0))


def test_a_delivered_network_comes_back_with_its_resolution(tmp_path: Path) -> None:
    x_NCHW, body = came_back(tmp_path / "network", resolution=2.0)
    timm = pytest.importorskip("timm")
    importlib.import_module("lowland.timm")  # registers the architecture
    model = timm.create_model(f"local-dir:{tmp_path / 'network'}", pretrained=True).eval()
    with torch.inference_mode():
        torch.testing.assert_close(model(x_NCHW), body(x_NCHW))
