"""Networks are models of timm, by the contract that timm's own models keep; delivered folders load by local-dir."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packaging.version import Version
from torch import nn

import lowland as package
from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.data import MemorySplit
from lowland.data.splits import DataSet
from lowland.delivery import network as delivery
from lowland.spaces import Shape, published

timm = pytest.importorskip("timm")
import lowland.timm  # noqa: E402  # registers the models
from lowland.delivery.timm_models import MODELS  # noqa: E402

SMALL: dict[str, dict[str, Any]] = {
    "darts": {"channels": 8, "cells": 3},
    "nasbench201": {"channels": 8, "cells": 1},
    "mobilenetv3": {"channels": 4, "cells": 1},
    "mobilenetv3-small": {"channels": 4, "cells": 1},
}
SIDE = 96

every_space = pytest.mark.parametrize("space", sorted(SMALL))


def test_no_space_is_left_out() -> None:
    assert set(spaces.registered()) >= set(SMALL)
    built_in = {"darts", "darts-open", "nasbench201", "mobilenetv3", "mobilenetv3-small"}
    assert {arguments["space"] for arguments in MODELS.values()} == built_in


def made(space: str, **given: Any) -> Any:
    """A small network of a space, of a genotype drawn at random."""
    text = spaces.get(space).format(spaces.get(space).sample(np.random.default_rng(3)))
    torch.manual_seed(0)
    return timm.create_model(
        "lowland_network", **{"space": space, "genotype": text, "img_size": SIDE, **SMALL[space], **given}
    )


def images(count: int = 2, channels: int = 3) -> torch.Tensor:
    return torch.randn(count, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


@every_space
def test_attributes_features_and_head(space: str) -> None:
    model = made(space, num_classes=42).eval()
    assert (model.num_classes, model.in_chans) == (42, 3)
    assert model.num_features == model.feature_info[-1]["num_chs"]
    with torch.no_grad():
        last_NCHW = model.forward_features(images())
        assert last_NCHW.shape[:2] == (2, model.num_features)
        assert tuple(model.forward_head(last_NCHW, pre_logits=True).shape) == (2, model.head_hidden_size)
        assert torch.equal(model.forward_head(last_NCHW), model(images()))
        text = spaces.get(space).format(spaces.get(space).sample(np.random.default_rng(3)))
        shape = Shape(image_size=SIDE, num_classes=42, **SMALL[space])
        bare = spaces.get(space).network(spaces.get(space).parse(text), shape).eval()
        bare.load_state_dict(model.state_dict())  # the same names
        assert torch.equal(bare(images()), model(images()))


@every_space
def test_a_new_classifier_or_none(space: str) -> None:
    for model in (made(space, num_classes=0), made(space)):
        model.eval()
        model.reset_classifier(0)
        with torch.no_grad():
            assert tuple(model(images()).shape) == (2, model.head_hidden_size)
        assert model.num_classes == 0
        model.reset_classifier(5)
        with torch.no_grad():
            assert tuple(model(images()).shape) == (2, 5)
        assert model.get_classifier().out_features == 5
    for model in (made(space, num_classes=0, global_pool=""), made(space)):
        model.eval()
        model.reset_classifier(0, "")
        with torch.no_grad():
            assert torch.equal(model(images()), model.forward_features(images()))
            assert model(images()).ndim == 4


@every_space
def test_names_of_the_configuration_are_in_the_state(space: str) -> None:
    model = made(space)
    state, config = model.state_dict(), delivery.timm_config.pretrained_cfg(model.body, Shape(image_size=SIDE))
    assert f"{config['classifier']}.weight" in state
    assert state[f"{config['first_conv']}.weight"].shape[1] == 3
    assert model.get_submodule(config["classifier"]) is model.get_classifier()


@every_space
def test_every_parameter_has_a_gradient(space: str) -> None:
    model = made(space, num_classes=42, drop_rate=0.1, drop_path_rate=0.0).train()
    model(images(4)).mean().backward()
    # A dead edge of a cell is part of a network and never computed.
    live = [name for name, parameter in model.named_parameters() if parameter.grad is not None]
    assert len(live) >= 0.7 * len(list(model.parameters()))
    assert all("edges" in name for name, parameter in model.named_parameters() if parameter.grad is None)


@every_space
def test_features_only(space: str) -> None:
    model = made(space, features_only=True).eval()
    with torch.no_grad():
        maps = model(images())
    assert len(maps) >= 3
    assert [map_NCHW.shape[1] for map_NCHW in maps] == model.feature_info.channels()
    assert [SIDE // map_NCHW.shape[2] for map_NCHW in maps] == model.feature_info.reduction()
    assert not any("classifier" in name for name, _ in model.named_parameters())
    chosen = made(space, features_only=True, out_indices=(0, 2)).eval()
    with torch.no_grad():
        assert all(map(torch.equal, chosen(images()), (maps[0], maps[2])))
        last = made(space, features_only=True, out_indices=(-1,)).eval()
        assert torch.equal(last(images())[0], maps[-1])
    with pytest.raises(ConfigError, match="out_indices"):
        made(space, features_only=True, out_indices=(0, 9))


@every_space
def test_intermediates_equal_the_features(space: str) -> None:
    model = made(space).eval()
    with torch.no_grad():
        last_NCHW, maps = model.forward_intermediates(images())
        assert torch.equal(last_NCHW, model.forward_features(images()))
        assert torch.equal(maps[-1], last_NCHW)
        assert len(maps) == len(model.feature_info)
        only = model.forward_intermediates(images(), indices=2, intermediates_only=True)
        assert all(map(torch.equal, only, maps[-2:]))
        kept = model.prune_intermediate_layers([0, 1])
        assert kept == [0, 1]
        assert all(map(torch.equal, model.forward_intermediates(images(), kept, intermediates_only=True), maps[:2]))
    with pytest.raises(ConfigError, match="NCHW"):
        model.forward_intermediates(images(), output_fmt="NHWC")
    with pytest.raises(ConfigError, match="out_indices"):
        model.forward_intermediates(images(), indices=9)


@every_space
def test_fx_traces_it_bit_for_bit(space: str) -> None:
    from timm.models import create_feature_extractor, get_graph_node_names

    model = made(space).eval()
    traced = create_feature_extractor(model, get_graph_node_names(model)[1][-1:])
    with torch.no_grad():
        assert torch.equal(next(iter(traced(images()).values())), model(images()))


@every_space
def test_what_cannot_be_had_is_refused(space: str) -> None:
    model = made(space)
    model.set_grad_checkpointing(False)
    with pytest.raises(ConfigError, match="checkpointing"):
        model.set_grad_checkpointing()
    with pytest.raises(ConfigError, match="global_pool"):
        model.reset_classifier(3, "max")
    with pytest.raises(ConfigError, match="needs pooling"):
        model.reset_classifier(3, "")
    with pytest.raises(ConfigError, match="output_stride=7"):
        made(space, output_stride=7)
    with pytest.raises(ConfigError, match="no square"):
        made(space, img_size=(96, 64))
    stride = model.feature_info[-1]["reduction"]
    assert made(space, output_stride=stride).feature_info == model.feature_info


@pytest.mark.parametrize("space", ["darts", "mobilenetv3"])
def test_an_output_stride_keeps_names_and_levels(space: str) -> None:
    own = made(space, features_only=True)
    for output_stride in (8, 16):
        dense = made(space, features_only=True, output_stride=output_stride).eval()
        dense.load_state_dict(own.state_dict())
        assert dense.feature_info.channels() == own.feature_info.channels()
        assert dense.feature_info.reduction() == [min(each, output_stride) for each in own.feature_info.reduction()]
        with torch.no_grad():
            maps = dense(images())
        assert [SIDE // map_NCHW.shape[2] for map_NCHW in maps] == dense.feature_info.reduction()
        classifying = made(space, output_stride=output_stride, num_classes=4).eval()
        with torch.no_grad():
            assert tuple(classifying(images()).shape) == (2, 4)


@pytest.mark.parametrize("output_stride", [8, 16, 32])
def test_segmentation_models_take_them_as_encoders(output_stride: int) -> None:
    """segmentation_models.pytorch's `tu-NAME`, which asks for maps at 2, 4, 8, 16 and 32."""
    smp = pytest.importorskip("segmentation_models_pytorch")
    torch.manual_seed(0)
    model = (
        smp.DeepLabV3(
            encoder_name="tu-lowland_darts",
            encoder_weights=None,
            encoder_output_stride=output_stride if output_stride < 32 else 16,
            classes=5,
        )
        if output_stride < 32
        else smp.Unet(encoder_name="tu-lowland_darts", encoder_weights=None, classes=5)
    )
    with torch.no_grad():
        masks_NKHW = model.eval()(torch.randn(1, 3, 96, 128))
        maps = model.encoder(torch.randn(1, 3, 96, 128))
    assert masks_NKHW.shape == (1, 5, 96, 128)
    assert [96 // map_NCHW.shape[2] for map_NCHW in maps] == [
        1,
        *(min(each, output_stride) for each in (2, 4, 8, 16, 32)),
    ]


@every_space
def test_copies_modes_and_layer_groups(space: str) -> None:
    from timm.models import group_parameters

    model = made(space).train()
    assert model.body.training
    model.eval()
    assert not model.body.training
    twin = copy.deepcopy(model)  # as averaging the weights does
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
        assert not torch.equal(twin(images()), model(images()))
    assert next(iter(twin.body.parameters())) is next(iter(twin.parameters()))
    groups = group_parameters(model, model.group_matcher())
    assert sorted(name for names in groups.values() for name in names) == sorted(dict(model.named_parameters()))
    assert len(groups) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("name", [f"lowland_{known.name.replace('-', '_')}" for known in published.networks()])
def test_published_networks_have_a_bare_name(name: str) -> None:
    model = timm.create_model(name)
    known = published.get(name.removeprefix("lowland_").replace("_", "-"))
    cost = spaces.get("darts").cost(known.genotype, known.shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == cost.parameters
    C = known.channels
    levels = [(info["num_chs"], info["reduction"], info["module"]) for info in model.feature_info]
    assert levels[2:] == [(4 * C, 8, "cells.3"), (8 * C, 16, "cells.8"), (16 * C, 32, "cells.13")]
    assert levels[:2] == [(C // 2, 2, "stem.first.0"), (C, 4, "stem.first.1")]
    assert model.pretrained_cfg["pool_size"] == (7, 7)


def test_registered_names() -> None:
    listed = timm.list_models("lowland_*")
    assert set(listed) == set(MODELS)
    literature = {f"lowland_{each.name.replace('-', '_')}" for each in published.networks()}
    by_genotype = {f"lowland_{space.replace('-', '_')}" for space in SMALL} | {"lowland_network"}
    assert (len(literature), len(by_genotype)) == (19, 5)
    assert set(listed) == literature | by_genotype
    assert not timm.list_models("lowland_*", pretrained=True)
    with pytest.raises(RuntimeError, match="No pretrained weights"):
        timm.create_model("lowland_nasbench201", pretrained=True)


@pytest.fixture(params=sorted(SMALL))
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A delivered network of each space, untrained, for one-channel images of 32 pixels and seven classes."""
    space = request.param
    genotype = spaces.get(space).sample(np.random.default_rng(3))
    shape = Shape(in_channels=1, image_size=32, num_classes=7, **SMALL[space])
    torch.manual_seed(0)
    body = spaces.get(space).network(genotype, shape)
    split = MemorySplit(torch.zeros(7, 1, 32, 32, dtype=torch.uint8), torch.arange(7))
    data = DataSet(
        name="made up",
        train=split,
        search=split,
        test=split,
        classes=tuple("abcdefg"),
        mean=(0.3,),
        std=(0.2,),
        in_channels=1,
        image_size=32,
        flip=False,
        crop_padding=0,
        source="",
        fingerprint="",
        fit="squash",
    )
    delivery.save(tmp_path / "network", body, genotype, shape, data, {})
    return tmp_path / "network"


def test_a_delivered_folder_loads_by_local_dir(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "network.json", "network.safetensors"]
    name, own = f"local-dir:{folder}", package.load(folder)
    x_NCHW = torch.randn(3, 1, 32, 32)
    with torch.no_grad():
        model = timm.create_model(name, pretrained=True).eval()
        assert torch.equal(model(x_NCHW), own(x_NCHW))
        maps = timm.create_model(name, pretrained=True, features_only=True).eval()(x_NCHW)
        own.body.resolution = None
        assert all(map(torch.equal, maps, own.features(x_NCHW)))
        headless = timm.create_model(name, pretrained=True, num_classes=0).eval()
        assert headless(x_NCHW).shape == (3, model.head_hidden_size)
        other = timm.create_model(name, pretrained=True, num_classes=5).eval()
        assert other(x_NCHW).shape == (3, 5)
        assert torch.equal(other.forward_features(x_NCHW), model.forward_features(x_NCHW))
        if Version(timm.__version__) >= Version("1.0.31"):  # before, weights were taken to be of colour images
            colour = timm.create_model(name, pretrained=True, in_chans=3).eval()
            assert colour(x_NCHW.repeat(1, 3, 1, 1)).shape == (3, 7)
            first = model.pretrained_cfg["first_conv"] + ".weight"
            assert colour.state_dict()[first].sum() == pytest.approx(model.state_dict()[first].sum().item(), abs=1e-3)
    by_file = timm.create_model(name, checkpoint_path=folder / "network.safetensors").eval()
    assert all(map(torch.equal, by_file.state_dict().values(), model.state_dict().values()))
    told = timm.data.resolve_data_config({}, model=model)
    assert [list(told[key]) for key in ("input_size", "mean", "std")] == [[1, 32, 32], [0.3], [0.2]]
    assert (told["crop_mode"], told["crop_pct"], told["interpolation"]) == ("squash", 1.0, "bilinear")
    assert list(model.pretrained_cfg["label_names"]) == list("abcdefg")


def test_a_colour_network_takes_one_channel(tmp_path: Path) -> None:
    model = made("nasbench201", num_classes=4)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    grey = made(
        "nasbench201",
        num_classes=4,
        in_chans=1,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(tmp_path / "weights.pt"), "num_classes": 4},
    )
    first = grey.pretrained_cfg["first_conv"] + ".weight"
    torch.testing.assert_close(grey.state_dict()[first], model.state_dict()[first].sum(1, keepdim=True))


def test_folders_of_earlier_versions_still_load(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert package.load(folder).classes == tuple("abcdefg")
    assert delivery.files(folder) == ["network.safetensors", "network.json"]


def test_config_is_plain_json(folder: Path) -> None:
    told = json.loads((folder / "config.json").read_text())
    assert set(told) == {
        "architecture",
        "num_classes",
        "num_features",
        "global_pool",
        "label_names",
        "model_args",
        "pretrained_cfg",
    }


def test_models_can_be_saved_and_scripts_can_train_them() -> None:
    """What timm's train.py passes, and a step of it."""
    model = timm.create_model("lowland_nasbench201", num_classes=3, in_chans=3, drop_rate=0.0, global_pool=None)
    from timm.optim import create_optimizer_v2

    optimizer = create_optimizer_v2(model, opt="sgd", lr=0.1, layer_decay=0.7)
    loss = nn.functional.cross_entropy(model(torch.randn(4, 3, 64, 64)), torch.tensor([0, 1, 2, 0]))
    loss.backward()
    optimizer.step()
    torch.save(model.state_dict(), io.BytesIO())


@pytest.mark.parametrize("name", ["lowland_darts", "lowland_mobilenetv3"])
def test_segmentation_models_take_it_as_an_encoder(name: str) -> None:
    smp = pytest.importorskip("segmentation_models_pytorch")
    model = smp.Unet(f"tu-{name}", encoder_weights=None, classes=4, decoder_channels=(16, 8, 8, 8, 4)).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, 64, 64)).shape == (1, 4, 64, 64)
