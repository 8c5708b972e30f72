"""Published Once-for-All weights, from a file of their layout that is written here, name by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lowland import spaces
from lowland.core.errors import ConfigError, DataError
from lowland.spaces import Shape
from lowland.spaces.mobilenetv3.checkpoint import load_ofa
from published_weights import once_for_all

SPACE = spaces.get("mobilenetv3")
OF = Shape(image_size=32, num_classes=10, cells=1)


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
    return once_for_all()


def saved(tmp_path, content):
    torch.save(content, tmp_path / "ofa")
    return tmp_path / "ofa"


@pytest.mark.parametrize("layout", ["older", "newer", "wrapped", "safetensors"])
def test_every_tensor_arrives(state, tmp_path, layout):
    content = {"older": state, "newer": newer(state), "wrapped": {"state_dict": state}, "safetensors": state}[layout]
    supernet = SPACE.supernet(OF)
    before = supernet.head[7].weight.clone()
    path = tmp_path / "ofa.safetensors"
    if layout == "safetensors":
        save_file(content, path)
    else:
        path = saved(tmp_path, content)
    found = load_ofa(supernet, path)
    assert (found.classes, found.classifier, found.summed) == (1000, False, False)
    assert len(found.values) == found.tensors - 2
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
    state = once_for_all(classes=10)
    supernet = SPACE.supernet(OF)
    found = load_ofa(supernet, saved(tmp_path, state))
    assert found.classifier
    assert len(found.values) == found.tensors
    assert torch.equal(supernet.head[7].bias, state["classifier.linear.bias"])


def wider(state):
    return {k: v.repeat_interleave(2, 0) if k == "first_conv.conv.weight" else v for k, v in state.items()}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (wider, r"'first_conv.conv.weight' of shape \(32, 3, 3, 3\), the supernet needs \(16, 3, 3, 3\); .*w1.0"),
        (lambda s: {k: v for k, v in s.items() if "5to3" not in k}, "no tensor '.*5to3_matrix'"),
        (lambda s: s | {"blocks.21.conv.bn.weight": torch.ones(1)}, "unknown tensor 'blocks.21.conv.bn.weight'"),
        (lambda s: s | {"first_conv.bn.weight": torch.full((16,), torch.nan)}, "damaged: .*'first_conv.bn.weight'"),
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


def test_grey_images_are_seen_as_in_three_equal_colours(state, tmp_path):
    path = saved(tmp_path, state)
    colour, grey = SPACE.supernet(OF), SPACE.supernet(replace(OF, in_channels=1))
    load_ofa(colour, path)
    assert load_ofa(grey, path).summed
    x_NCHW = torch.rand(2, 1, 32, 32)
    seen = colour.stem[0](x_NCHW.expand(2, 3, 32, 32))
    torch.testing.assert_close(grey.stem[0](x_NCHW), seen, rtol=1e-4, atol=1e-5)
    for name, value in grey.state_dict().items():
        if not name.startswith(("stem.0", "head.7")):
            assert torch.equal(value, colour.state_dict()[name])


def test_images_of_other_channels_and_other_spaces_are_refused(state, tmp_path):
    path = saved(tmp_path, state)
    with pytest.raises(DataError, match="3 colours and these images have 2"):
        load_ofa(SPACE.supernet(Shape(in_channels=2, cells=1)), path)
    with pytest.raises(ConfigError, match="only the space mobilenetv3"):
        load_ofa(spaces.get("mobilenetv3-small").supernet(OF), path)


def test_a_file_of_another_width_says_which_width_would_do(state, tmp_path):
    path = saved(tmp_path, state)
    for channels in (8, 20):
        with pytest.raises(DataError, match=r"the file is of width 1: set supernet.channels=16"):
            load_ofa(SPACE.supernet(replace(OF, channels=channels)), path)


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
