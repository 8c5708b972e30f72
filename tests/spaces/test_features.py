"""The feature maps of published networks: where detectors, segmenters and timm take them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lowland import spaces
from lowland.spaces import FeatureInfo, NetworkOptions, Shape


def feature_info(name, **shape):
    space = spaces.get(name)
    return space.network(space.sample(np.random.default_rng(0)), Shape(**shape)).feature_info


def levels(name, **shape):
    return [(info.channels, info.stride) for info in feature_info(name, **shape)]


def test_darts_on_imagenet():
    """Cells 3, 8 and 13 of 14 are the pyramid of GeNAS' detectors (Table 4); timm asks for two maps more."""
    assert feature_info("darts", image_size=224, cells=14, channels=46) == (
        FeatureInfo(23, 2, "stem.first.0"),
        FeatureInfo(46, 4, "stem.first.1"),
        FeatureInfo(184, 8, "cells.3"),
        FeatureInfo(368, 16, "cells.8"),
        FeatureInfo(736, 32, "cells.13"),
    )


@pytest.mark.parametrize(
    ("cells", "names"), [(1, ["cells.0"]), (2, ["cells.0", "cells.1"]), (20, ["cells.5", "cells.12", "cells.19"])]
)
def test_darts_on_cifar(cells, names):
    info = feature_info("darts", cells=cells, channels=4)
    assert [one.name for one in info] == names
    assert [(one.channels, one.stride) for one in info] == [(16, 1), (32, 2), (64, 4)][: len(names)]


def test_nasbench201():
    assert feature_info("nasbench201", cells=5) == (
        FeatureInfo(16, 1, "cells.4"),
        FeatureInfo(32, 2, "cells.9"),
        FeatureInfo(64, 4, "cells.14"),
    )
    assert levels("nasbench201", cells=1, image_size=224) == [(8, 2), (16, 4), (32, 8), (64, 16)]
    assert levels("nasbench201", cells=1, channels=1, image_size=224)[0] == (1, 2)


def test_mobilenetv3():
    """The fourth stage keeps the stride of the third, whose maps are then not the last of it."""
    published = [(16, 2), (24, 4), (40, 8), (112, 16), (160, 32)]
    assert levels("mobilenetv3", image_size=224, cells=1) == published
    assert levels("mobilenetv3", cells=1) == [(channels, stride // 2) for channels, stride in published]
    assert feature_info("mobilenetv3", cells=1)[0].name == "first"
    assert levels("mobilenetv3-small", cells=1) == [(16, 2), (32, 4), (64, 8)]
    assert levels("mobilenetv3-small", cells=1, stem="cifar") == [(16, 1), (32, 2), (64, 4)]


def test_the_auxiliary_head_is_left_alone():
    darts = spaces.get("darts")
    network = darts.network(darts.sample(np.random.default_rng(0)), Shape(cells=3), NetworkOptions(auxiliary=True))
    before = {name: value.clone() for name, value in network.auxiliary.state_dict().items()}
    assert len(network.features(torch.randn(2, 3, 16, 16))) == 3
    assert all(torch.equal(value, before[name]) for name, value in network.auxiliary.state_dict().items())
