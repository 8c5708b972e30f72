"""Names under which timm builds networks of lowland: one for each published network, and some that take a genotype."""

from __future__ import annotations

from typing import Any

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from lowland.core.genotype import Genotype
from lowland.delivery.timm_config import ARCHITECTURE, bare, classifier, first_convolution, pretrained_cfg
from lowland.delivery.timm_network import TimmNetwork
from lowland.spaces import Shape, get, published
from lowland.spaces.values import AS_PUBLISHED

SPACES = {
    "lowland_darts": ("darts", {"channels": 48, "cells": 14}),
    "lowland_nasbench201": ("nasbench201", {"channels": 16, "cells": 5}),
    "lowland_mobilenetv3": ("mobilenetv3", {"channels": 16, "cells": 1}),
    "lowland_mobilenetv3_small": ("mobilenetv3-small", {"channels": 16, "cells": 1}),
}
"""Models that take `genotype=`, their spaces and the published sizes of these."""


def _first_reference(space: str) -> str:
    """The genotype that a model takes where none is given: the space's first reference."""
    return next(iter(get(space).references.values()))


def _models() -> dict[str, dict[str, Any]]:
    """Arguments of every model by its name."""
    found: dict[str, dict[str, Any]] = {}
    for known in published.networks():
        sizes = {"channels": known.channels, "cells": known.shape.cells, "stem": known.shape.stem}
        text = get(known.genotype.space).format(known.genotype)
        found[f"lowland_{known.name.replace('-', '_')}"] = {"space": known.genotype.space, "genotype": text, **sizes}
    for name, (space, own) in SPACES.items():
        found[name] = {"space": space, "genotype": _first_reference(space), **own}
    return found | {ARCHITECTURE: found["lowland_darts"]}


MODELS = _models()
"""Every registered model: its name and the arguments of `TimmNetwork` that it has unless others are given."""


def _default_cfg(arguments: dict[str, Any]) -> dict[str, Any]:
    """What timm wants to know of a model for images of 224 pixels and 1000 classes; there are no weights."""
    genotype, shape = _parts(arguments)
    own = pretrained_cfg(bare(genotype, shape), shape)
    return own | {
        "input_size": tuple(own["input_size"]),
        "pool_size": tuple(own["pool_size"]),
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "crop_pct": 0.875,
    }


def _parts(arguments: dict[str, Any]) -> tuple[Genotype, Shape]:
    genotype = get(arguments["space"]).parse(arguments["genotype"])
    size = arguments.get("img_size", 224)
    return genotype, Shape(
        in_channels=arguments.get("in_chans", 3),
        image_size=size if isinstance(size, int) else size[0],
        num_classes=1000,
        channels=arguments["channels"],
        cells=arguments["cells"],
        stem=arguments.get("stem", "auto"),
        **{name: arguments.get(name, value) for name, value in AS_PUBLISHED.items()},
    )


default_cfgs = generate_default_cfgs({name: _default_cfg(arguments) for name, arguments in MODELS.items()})
"""Where timm looks for what it wants to know of a model."""


def _registered(name: str) -> None:
    """Register the model called `name`."""

    def build(pretrained: bool = False, **given: Any) -> nn.Module:
        arguments = MODELS[name] | given
        if given.get("space", MODELS[name]["space"]) != MODELS[name]["space"] and "genotype" not in given:
            arguments["genotype"] = _first_reference(given["space"])
        body = bare(*_parts(arguments))
        # Names of layers follow the space, which need not be the one that the model has by default.
        names = {"first_conv": first_convolution(body), "classifier": classifier(body)}
        arguments["pretrained_cfg_overlay"] = names | (given.get("pretrained_cfg_overlay") or {})
        if given.get("features_only"):
            arguments.setdefault("resize", False)
        made: nn.Module = build_model_with_cfg(
            TimmNetwork,
            name,
            pretrained,
            # timm asks for five maps unless told otherwise; networks for small images have fewer.
            feature_cfg={"feature_cls": "getter", "out_indices": tuple(range(len(body.feature_info)))},
            **arguments,
        )
        return made

    build.__name__ = build.__qualname__ = name
    build.__doc__ = f"A network of lowland for timm: {name}."
    globals()[name] = register_model(build)


for _name in MODELS:
    _registered(_name)
