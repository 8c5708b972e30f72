"""Do exported files say what the network says, how large are they, and how fast?

One network of each space, the space's first reference, trained for some epochs on the images that ship with lowland,
exported in every form and compared with itself in PyTorch on all test images. Needed: int8 changes top-1 by at most
half a point, in at most .3 times the room. Times are relative to PyTorch in the same turns.

    python benchmarks/export_check.py
    python benchmarks/export_check.py --keep DIR  # trained networks are kept in DIR, and taken from there
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from common import RESULTS, read, save
from lowland import spaces
from lowland.core.config import ComputeConfig, DataConfig
from lowland.core.device import resolve
from lowland.core.errors import LowlandError
from lowland.data import DataSet, load
from lowland.delivery import network as delivery
from lowland.delivery.agreement import judge
from lowland.delivery.forms.form import Request
from lowland.delivery.forms.table import FORMS
from lowland.spaces import Shape
from lowland.training import network as training
from lowland.training.loop import fit
from lowland.workflow.presets import assemble

POINTS, SHARE = 0.5, 0.3
NETWORKS: dict[str, dict[str, Any]] = {
    "nasbench201": {"image_size": 28, "channels": 16, "cells": 1, "epochs": 8},
    "darts": {"image_size": 28, "channels": 16, "cells": 2, "epochs": 1},
    "mobilenetv3-small": {"image_size": 28, "channels": 16, "cells": 1, "epochs": 20},
    "mobilenetv3": {"image_size": 28, "channels": 8, "cells": 1, "epochs": 6},
}
"""Of each space a size whose training takes minutes. In files of few parameters (DARTS) nodes outweigh weights."""


def deliver(place: Path, space: str, sizes: dict[str, Any], data: DataSet, threads: int) -> None:
    """Train a network and save it in `place`, unless one is there."""
    if place.exists():
        return
    compute = resolve(ComputeConfig(threads=threads))
    config = assemble({"space": space, "retrain": {"epochs": sizes["epochs"]}})
    chosen = spaces.get(space)
    genotype = chosen.parse(next(iter(chosen.references.values())))
    shape = Shape(
        in_channels=data.in_channels,
        image_size=data.image_size,
        num_classes=data.num_classes,
        channels=sizes["channels"],
        cells=sizes["cells"],
    )
    body = compute.prepare(training.build(genotype, shape, config.retrain, 0))
    fit(training.job(genotype, body, config.retrain, data, compute, 0))
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=place.parent) as folder:
        made = Path(folder) / "network"
        delivery.save(made, body, genotype, shape, data, {})
        made.rename(place)


def measured(space: str, sizes: dict[str, Any], calibration: int, threads: int, keep: Path) -> dict[str, Any]:
    data = load(DataConfig(image_size=sizes["image_size"]), seed=0)
    deliver(keep / space, space, sizes, data, threads)
    network = delivery.load(keep / space)
    parameters = spaces.get(space).cost(network.genotype, network.shape).parameters
    found: dict[str, Any] = {"sizes": sizes, "parameters": parameters, "calibration": calibration, "forms": {}}
    torch.manual_seed(0)
    request = Request(calibration_NCHW=data.train.images(torch.randperm(len(data.train))[:calibration]))
    everything = torch.arange(len(data.test))
    with TemporaryDirectory() as place:
        for name, form in FORMS.items():
            path = Path(place) / f"file{form.suffix}"
            form.write(network, path, request)
            found["forms"][name] = judge(form, path, network, request, data.test, everything).to_json()
            path.unlink()
    return found


def summary(networks: dict[str, Any]) -> dict[str, Any]:
    """The figures that were asked for, over all networks."""
    every = [each["forms"] for each in networks.values()]
    return {
        "needed": {"int8 points": POINTS, "int8 share": SHARE},
        "largest difference, fp32": max(
            forms[name]["agreement"]["largest_difference"] for forms in every for name in forms if name != "onnx-int8"
        ),
        "largest change of top-1 by int8, points": max(
            abs(forms["onnx-int8"]["agreement"]["top1_change"]) for forms in every
        ),
        "largest share of int8": max(forms["onnx-int8"]["share"] for forms in every),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", default=",".join(NETWORKS))
    parser.add_argument("--calibration", type=int, default=2048)
    parser.add_argument("--threads", type=int, default=1, help="for the training")
    parser.add_argument("--keep", type=Path, help="folder of trained networks, one of each space")
    parser.add_argument("--machine", default="", help="what else the machine did, for the results")
    parser.add_argument("--out", type=Path, default=RESULTS / "export_check.json")
    arguments = parser.parse_args()
    results = read(arguments.out)
    results.pop("environment", None)
    networks = results.setdefault("networks", {})
    with TemporaryDirectory() as folder:
        keep = arguments.keep or Path(folder)
        for space in arguments.spaces.split(","):
            try:
                networks[space] = measured(space, NETWORKS[space], arguments.calibration, arguments.threads, keep)
            except LowlandError as error:
                raise SystemExit(f"{space}: {error}") from error
            int8 = networks[space]["forms"]["onnx-int8"]
            print(space, int8["agreement"], f"{int8['share']:.3f}", flush=True)
            results |= summary(networks) | {"machine": arguments.machine}
            save(arguments.out, results, resolve(ComputeConfig(threads=arguments.threads)))


if __name__ == "__main__":
    main()
