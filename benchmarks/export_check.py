"""Do exported files say what the network says, how large are they, and how fast?

One network of each space, the space's first reference, trained for a few epochs on the images that ship with lowland,
exported in every form and compared with itself in PyTorch on all test images. Needed: int8 changes top-1 by at most
half a point, in at most .3 times the room.

    python benchmarks/export_check.py
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
from lowland.data import load
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
    "mobilenetv3-small": {"image_size": 28, "channels": 16, "cells": 1, "epochs": 2},
    "mobilenetv3": {"image_size": 28, "channels": 8, "cells": 1, "epochs": 2},
}


def measured(space: str, sizes: dict[str, Any], calibration: int, threads: int) -> dict[str, Any]:
    compute = resolve(ComputeConfig(threads=threads))
    data = load(DataConfig(image_size=sizes["image_size"]), seed=0)
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
    found: dict[str, Any] = {"sizes": sizes, "parameters": chosen.cost(genotype, shape).parameters, "forms": {}}
    with TemporaryDirectory() as place:
        delivery.save(Path(place), body, genotype, shape, data, {})
        network = delivery.load(place)
        images_NCHW = data.train.images(torch.randperm(len(data.train))[:calibration])
        request = Request(calibration_NCHW=images_NCHW)
        for name, form in FORMS.items():
            path = Path(place) / f"file{form.suffix}"
            form.write(network, path, request)
            everything = torch.arange(len(data.test))
            found["forms"][name] = judge(form, path, network, request, data.test, everything).to_json()
            path.unlink()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", default=",".join(NETWORKS))
    parser.add_argument("--calibration", type=int, default=512)
    parser.add_argument("--threads", type=int, default=1, help="for the training")
    parser.add_argument("--out", type=Path, default=RESULTS / "export_check.json")
    arguments = parser.parse_args()
    results = read(arguments.out)
    results.pop("environment", None)
    networks = results.setdefault("networks", {})
    for space in arguments.spaces.split(","):
        try:
            networks[space] = measured(space, NETWORKS[space], arguments.calibration, arguments.threads)
        except LowlandError as error:
            raise SystemExit(f"{space}: {error}") from error
        int8 = networks[space]["forms"]["onnx-int8"]
        print(space, int8["agreement"], f"{int8['share']:.3f}", flush=True)
        every = [each["forms"] for each in networks.values()]
        results |= {
            "needed": {"int8 points": POINTS, "int8 share": SHARE},
            "largest difference, fp32": max(
                forms[name]["agreement"]["largest_difference"]
                for forms in every
                for name in forms
                if name != "onnx-int8"
            ),
            "largest change of top-1 by int8, points": max(
                abs(forms["onnx-int8"]["agreement"]["top1_change"]) for forms in every
            ),
            "largest share of int8": max(forms["onnx-int8"]["share"] for forms in every),
        }
        save(arguments.out, results, resolve(ComputeConfig(threads=arguments.threads)))


if __name__ == "__main__":
    main()
