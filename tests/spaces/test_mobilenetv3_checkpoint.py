"""Published Once-for-All weights, from a file of their layout that is written here, name by name."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lowland import spaces
from lowland.core.errors import ConfigError, DataError
from lowland.spaces import Shape
from lowland.spaces.mobilenetv3.checkpoint import load_ofa

SPACE = spaces.get("mobilenetv3")
OF = Shape(image_size=32, num_classes=10, cells=1)
STAGES = ((24, None), (40, (40, 64)), (80, None), (112, (120, 168)), (160, (168, 240)))
"""Width of each stage, and the gate's channels in its first and its other blocks."""


def norm(name: str, channels: int) -> dict[str, Tensor]:
    values = {f"{name}.{part}": torch.randn(channels) for part in ("weight", "bias", "running_mean")}
    return values | {f"{name}.running_var": torch.rand(channels), f"{name}.num_batches_tracked": torch.tensor(7)}


def published(classes: int = 1000) -> dict[str, Tensor]:
    """A state dict of `ofa_mbv3_d234_e346_k357_w1.0` in its older naming, with random values."""
    torch.manual_seed(0)
    state = {"first_conv.conv.weight": torch.randn(16, 3, 3, 3)} | norm("first_conv.bn", 16)
    first = "blocks.0.mobile_inverted_conv"
    state |= {f"{first}.depth_conv.conv.weight": torch.randn(16, 1, 3, 3)} | norm(f"{first}.depth_conv.bn", 16)
    state |= {f"{first}.point_linear.conv.weight": torch.randn(16, 16, 1, 1)} | norm(f"{first}.point_linear.bn", 16)
    c_in, index = 16, 0
    for width, gates in STAGES:
        for block in range(4):
            index += 1
            at, hidden = f"blocks.{index}.mobile_inverted_conv", 6 * c_in
            state[f"{at}.inverted_bottleneck.conv.conv.weight"] = torch.randn(hidden, c_in, 1, 1)
            state |= norm(f"{at}.inverted_bottleneck.bn.bn", hidden)
            state[f"{at}.depth_conv.conv.conv.weight"] = torch.randn(hidden, 1, 7, 7)
            state[f"{at}.depth_conv.conv.7to5_matrix"] = torch.randn(25, 25)
            state[f"{at}.depth_conv.conv.5to3_matrix"] = torch.randn(9, 9)
            state |= norm(f"{at}.depth_conv.bn.bn", hidden)
            if gates is not None:
                gate = gates[min(block, 1)]
                state[f"{at}.depth_conv.se.fc.reduce.weight"] = torch.randn(gate, hidden, 1, 1)
                state[f"{at}.depth_conv.se.fc.reduce.bias"] = torch.randn(gate)
                state[f"{at}.depth_conv.se.fc.expand.weight"] = torch.randn(hidden, gate, 1, 1)
                state[f"{at}.depth_conv.se.fc.expand.bias"] = torch.randn(hidden)
            state[f"{at}.point_linear.conv.conv.weight"] = torch.randn(width, hidden, 1, 1)
            state |= norm(f"{at}.point_linear.bn.bn", width)
            c_in = width
    state |= {"final_expand_layer.conv.weight": torch.randn(960, 160, 1, 1)} | norm("final_expand_layer.bn", 960)
    state["feature_mix_layer.conv.weight"] = torch.randn(1280, 960, 1, 1)
    state["classifier.linear.weight"], state["classifier.linear.bias"] = (
        torch.randn(classes, 1280),
        torch.randn(classes),
    )
    return state


def newer(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same in the newer naming."""
    pairs = ((".mobile_inverted_conv.", ".conv."), (".bn.bn.", ".bn."), (".conv.conv.weight", ".conv.weight"))
    found = {}
    for name, value in state.items():
        for old, new in pairs:
            name = name.replace(old, new)
        found[name] = value
    return found


@pytest.fixture(scope="module")
def state():
    return published()


def saved(tmp_path, content):
    torch.save(content, tmp_path / "ofa")
    return tmp_path / "ofa"


@pytest.mark.parametrize("layout", ["older", "newer", "wrapped"])
def test_every_tensor_arrives(state, tmp_path, layout):
    content = {"older": state, "newer": newer(state), "wrapped": {"state_dict": state}}[layout]
    supernet = SPACE.supernet(OF)
    before = supernet.head[7].weight.clone()
    assert load_ofa(supernet, saved(tmp_path, content)) is False
    own = supernet.state_dict()
    assert torch.equal(own["head.7.weight"], before)
    arrived = {
        "stem.0.weight": "first_conv.conv.weight",
        "stem.1.running_var": "first_conv.bn.running_var",
        "first.depthwise.0.weight": "blocks.0.mobile_inverted_conv.depth_conv.conv.weight",
        "first.project.1.bias": "blocks.0.mobile_inverted_conv.point_linear.bn.bias",
        "cells.0.edges.expand.0.weight": "blocks.1.mobile_inverted_conv.inverted_bottleneck.conv.conv.weight",
        "cells.7.edges.depthwise.0.matrix_7to5": "blocks.8.mobile_inverted_conv.depth_conv.conv.7to5_matrix",
        "cells.19.edges.depthwise.0.matrix_5to3": "blocks.20.mobile_inverted_conv.depth_conv.conv.5to3_matrix",
        "cells.4.edges.squeeze.reduce.bias": "blocks.5.mobile_inverted_conv.depth_conv.se.fc.reduce.bias",
        "cells.4.edges.squeeze.expand.weight": "blocks.5.mobile_inverted_conv.depth_conv.se.fc.expand.weight",
        "cells.19.edges.project.1.running_mean": "blocks.20.mobile_inverted_conv.point_linear.bn.bn.running_mean",
        "head.0.weight": "final_expand_layer.conv.weight",
        "head.1.weight": "final_expand_layer.bn.weight",
        "head.4.weight": "feature_mix_layer.conv.weight",
    }
    assert all(torch.equal(own[mine], state[theirs]) for mine, theirs in arrived.items())
    # Nothing is left at its initial value but the classifier, and the flag that the published file has not.
    values = {repr(value.flatten()[:4].tolist()) for value in state.values() if value.is_floating_point()}
    unread = [
        name
        for name, value in own.items()
        if value.is_floating_point() and repr(value.flatten()[:4].tolist()) not in values
    ]
    assert set(unread) == {"channels_sorted", "head.7.weight", "head.7.bias"}


def test_the_classifier_of_the_same_classes_arrives_too(tmp_path):
    state = published(classes=10)
    supernet = SPACE.supernet(OF)
    assert load_ofa(supernet, saved(tmp_path, state)) is True
    assert torch.equal(supernet.head[7].bias, state["classifier.linear.bias"])


def wider(state):
    return {k: v.repeat_interleave(2, 0) if k == "first_conv.conv.weight" else v for k, v in state.items()}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (wider, r"'first_conv.conv.weight' of shape \(32, 3, 3, 3\), the supernet needs \(16, 3, 3, 3\); .*w1.0"),
        (lambda s: {k: v for k, v in s.items() if "5to3" not in k}, "no tensor '.*5to3_matrix'"),
        (lambda s: s | {"blocks.21.conv.bn.weight": torch.ones(1)}, "unknown tensor 'blocks.21.conv.bn.weight'"),
        (lambda s: {}, "no tensor"),
        (lambda s: [1, 2], "no state dict"),
    ],
)
def test_unfit_files_are_refused_and_change_nothing(state, tmp_path, change, match):
    supernet = SPACE.supernet(OF)
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with pytest.raises(DataError, match=match) as raised:
        load_ofa(supernet, saved(tmp_path, change(state)))
    assert "\n" not in str(raised.value)
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())


def test_grey_images_and_other_spaces_are_refused(state, tmp_path):
    path = saved(tmp_path, state)
    with pytest.raises(DataError, match="3 colours"):
        load_ofa(SPACE.supernet(Shape(in_channels=1, cells=1)), path)
    with pytest.raises(ConfigError, match="only the space mobilenetv3"):
        load_ofa(spaces.get("mobilenetv3-small").supernet(OF), path)


def test_unreadable_files_are_refused(tmp_path):
    supernet = SPACE.supernet(Shape(channels=4, cells=1))
    with pytest.raises(DataError, match="does not exist"):
        load_ofa(supernet, tmp_path / "nothing")
    (tmp_path / "noise").write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match="cannot be read"):
        load_ofa(supernet, tmp_path / "noise")
    with pytest.raises(DataError, match="cannot be read"):
        load_ofa(supernet, tmp_path)
    torch.save({"state_dict": Shape()}, tmp_path / "pickled")
    with pytest.raises(DataError, match="cannot be read"):
        load_ofa(supernet, tmp_path / "pickled")
