"""Which figure early in a training tells best how a network will end? Trained for real, judged at every rung.

Networks of NAS-Bench-201's space, each at the width that fills one budget of parameters, learn from the training split
alone by the schedule `wsd` (constant, then falling), so that a training of any length is the beginning of a longer one.
After each of the first epochs the network and its averaged weights are judged on held-out images: accuracy, loss,
GeNAS's flatness (Eq. 4), accuracy under 40 % weight noise, FlatNAS's robustness R. At the end: accuracy on held-out
images, clean, and under the fifteen standard corruptions of them (other random seeds than any test's). Test images take
no part. A stopped study goes on.

    python benchmarks/rung_study.py --data embedded cifar10 imagenette --recipe quick --seeds 0 1
    python benchmarks/rung_study.py --recipe muon --shortlisted --seeds 0 1 2
    python benchmarks/rung_study.py --report --recipe quick

What the report says: `rung_report.py`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common import cifar10_npz, imagenette, read, save
from lowland.core.config import ComputeConfig, DataConfig, RetrainConfig
from lowland.core.device import Compute, resolve
from lowland.core.seeds import numpy_rng
from lowland.core.settings import merge, section
from lowland.data import DataSet, MemorySplit, load
from lowland.evaluation.classification import predict
from lowland.measures.calibration import by_batch
from lowland.measures.noise.flatness import estimate_flatness
from lowland.measures.per_image import ImageResults, evaluate, loss_under_noise
from lowland.spaces import Shape, get
from lowland.spaces.values import Norm
from lowland.spaces.width import fitted
from lowland.training import network
from lowland.training.loop import fit
from lowland.workflow.presets import assemble, complete
from recipe_study import JUDGED, corrupted_splits
from rung_report import OF_PRESET, RESULT, report

EPOCHS = {"embedded": 12, "cifar10": 10, "imagenette": 10}
EMA = 0.97
NOISE_IMAGES, DRAWS = 250, 6
SIGMAS = (2e-2, 4e-2)
NOISE_AT = (1, 2, 3, 4, 6, 8)
"""Epochs after which networks are judged."""

NOISE_AT_OF = {"muon": (1, 2, 3, 5, 7, 10)}
"""The same where trainings are longer."""

SHORTLISTED = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|nor_conv_3x3~0|skip_connect~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|none~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|avg_pool_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "|nor_conv_1x1~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|none~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|nor_conv_1x1~2|",
)
"""Cells that the default search let begin its rungs (embedded images, 0.1 M parameters, three other seeds)."""

RECIPES: dict[str, dict[str, Any]] = {
    "wsd": {"schedule": "wsd"},
    "wsd-mixup": {"schedule": "wsd", "mixup": 0.2},
    "quick": {"optimizer": "sgd"},
    "muon": {"epochs": 20},
}
"""What of a recipe is not the settings' default, or that of the preset."""


class InMemory:
    """Checkpoints that are kept in memory."""

    def __init__(self) -> None:
        self.kept: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def save_checkpoint(self, name: str, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Keep the newest state."""
        self.kept = {key: value.detach().clone() for key, value in tensors.items()}, state

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest state, or None."""
        return self.kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=tuple(EPOCHS), default=["embedded"])
    parser.add_argument("--params", type=int, default=100_000)
    parser.add_argument("--random", type=int, default=12, help="random genotypes beside the named ones")
    parser.add_argument("--shortlisted", action="store_true", help="cells that a search shortlisted, not random ones")
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3], help="cells a stage of the named ones")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--recipe", choices=tuple(RECIPES), default="wsd")
    parser.add_argument("--raw", action="store_true", help="judge the weights as they are, too, not only averaged ones")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--report", action="store_true", help="print rank correlations and measure nothing")
    arguments = parser.parse_args()
    if arguments.report:
        report(arguments.recipe)
        return
    torch.set_num_threads(arguments.threads)
    compute = resolve(ComputeConfig(threads=arguments.threads))
    for seed, source in product(arguments.seeds, arguments.data):
        size = 32 if source == "imagenette" else None
        data = load(DataConfig(name=place(source), image_size=size), seed=seed, device=compute.device)
        corrupted = corrupted_splits(data)
        chosen = shortlisted() if arguments.shortlisted else designs(arguments.random, arguments.depths)
        for name, genes, cells in chosen:
            key = f"{source}/{arguments.params}/{arguments.recipe}/{seed}/{name}/{cells}"
            results = read(RESULT) or {"benchmark": "rung_study", "runs": {}}
            if key in results["runs"]:
                continue
            changes = {"epochs": EPOCHS[source], "min_steps": 0} | RECIPES[arguments.recipe]
            recipe, norm = section(RetrainConfig, changes), "batch"
            if arguments.recipe in OF_PRESET:
                preset = complete(assemble({"data": {"name": place(source)}, "retrain": changes}))
                recipe, norm = preset.retrain, preset.network.norm
            judged_at = NOISE_AT_OF.get(arguments.recipe, NOISE_AT)
            measure = partial(one, genes, cells, norm, arguments.params, recipe, data, corrupted, compute, seed)
            found = measure(arguments.raw, judged_at, fill=arguments.recipe == "muon")  # as the preset has it since
            settings = {"ema": EMA, "noise_images": NOISE_IMAGES, "draws": DRAWS, "sigmas": SIGMAS, "judged": JUDGED}
            results = merge(read(RESULT) or results, {"runs": {key: found}, "settings": settings})
            save(RESULT, results, compute)
            print(key, found["clean"], found["corrupted"], found["seconds"], flush=True)


def place(name: str) -> str:
    """What lowland calls the data; others than the embedded ones are written to an .npz file first."""
    folder = Path(tempfile.gettempdir()) / "lowland-benchmarks"
    if name == "embedded":
        return "fashion-mnist-6k"
    return str(cifar10_npz(folder, 10_000) if name == "cifar10" else imagenette(folder, 5_000, 1_000))


def designs(count: int, depths: Sequence[int]) -> list[tuple[str, str, int]]:
    """(name, genotype, cells per stage): networks written by hand at these depths, and random ones at two."""
    space = get("nasbench201")
    known = dict(space.references)
    found = [(name, space.format(space.parse(text)), cells) for cells in depths for name, text in known.items()]
    rng = numpy_rng(20_261_127, "rung study")
    keys = {space.key(space.parse(text)) for text in known.values()}
    while count:
        genotype = space.sample(rng)
        weights = sum(gene in (2, 3) for gene in genotype.genes)  # convolutions: without any, a width never fits
        if space.key(genotype) in keys or weights < 2:
            continue
        keys.add(space.key(genotype))
        found.append((",".join(map(str, genotype.genes)), space.format(genotype), 1 + count % 2))
        count -= 1
    return found


def shortlisted() -> list[tuple[str, str, int]]:
    """The same of cells that a search shortlisted, and of those by hand, which it adds; one a stage, as it had them."""
    space = get("nasbench201")
    known = {name: space.format(space.parse(space.references[name])) for name in ("resnet-cell", "all-conv3x3")}
    return [(name, text, 1) for name, text in known.items()] + [
        (",".join(map(str, space.parse(text).genes)), text, 1) for text in SHORTLISTED
    ]


def one(
    text: str,
    cells: int,
    norm: Norm,
    parameters: int,
    recipe: RetrainConfig,
    data: DataSet,
    corrupted: dict[str, list[MemorySplit]],
    compute: Compute,
    seed: int,
    raw: bool,
    judged_at: Sequence[int],
    fill: bool,
) -> dict[str, Any]:
    """Train one network to the end; its figures at every rung, with `raw` unaveraged ones too, and at the end."""
    space = get("nasbench201")
    genotype = space.parse(text)
    plain = Shape(
        in_channels=data.in_channels,
        image_size=data.image_size,
        num_classes=data.num_classes,
        channels=16,
        cells=cells,
        norm=norm,
    )
    shape = fitted(space, genotype, plain, parameters=parameters, fill=fill)
    recipe = recipe.model_copy(update={"include_search_split": False, "ema": EMA})
    model = compute.prepare(network.build(genotype, shape, recipe, seed))
    smooth = compute.prepare(network.build(genotype, shape, recipe, seed))
    job = network.job(genotype, model, recipe, data, compute, seed)
    kept, rungs, began = InMemory(), {}, time.process_time()
    for epoch in range(1, recipe.epochs):
        fit(job, checkpoints=kept, checkpoint_seconds=1e9, until=epoch * job.steps_per_epoch())
        assert kept.kept is not None
        averaged = {
            n.removeprefix("averaged:module."): t for n, t in kept.kept[0].items() if n.startswith("averaged:module.")
        }
        smooth.load_state_dict(averaged)
        if epoch in judged_at:
            judged = {"averaged": smooth} | ({"raw": model} if raw else {})
            rungs[epoch] = {kind: figures(each, data, compute, epoch) for kind, each in judged.items()}
        model.train()
    history = fit(job, checkpoints=kept, checkpoint_seconds=1e9)
    cost = space.cost(genotype, shape)
    each = {
        name: sum(accuracy(model, x, data, compute) for x in splits) / len(splits) for name, splits in corrupted.items()
    }
    return {
        "channels": shape.channels,
        "parameters": cost.parameters,
        "macs": cost.macs,
        "rungs": rungs,
        "clean": round(accuracy(model, data.search, data, compute), 3),
        "corrupted": round(sum(each.values()) / len(each), 3),
        "each": {name: round(value, 2) for name, value in each.items()},
        "seconds": round(history.seconds, 1),
        "processor_seconds": round(time.process_time() - began, 1),
    }


def accuracy(model: nn.Module, split: Any, data: DataSet, compute: Compute) -> float:
    """Percent of a split that is named rightly."""
    logits_NK, labels_N = predict(model, split, data.normalise, compute, 250)
    return 100 * float((logits_NK.argmax(1) == labels_N).double().mean())


def placed(split: Any, indices_N: Tensor, data: DataSet, compute: Compute) -> list[tuple[Tensor, Tensor]]:
    """These images and their labels, normalised and on the device, in batches of 125."""
    images_NCHW, labels_N = split.images(indices_N), split.labels_N[indices_N]
    return [
        (compute.place(data.normalise(x)), y) for x, y in zip(images_NCHW.split(125), labels_N.split(125), strict=True)
    ]


def figures(model: nn.Module, data: DataSet, compute: Compute, epoch: int) -> dict[str, float]:
    """What is known of a network half-way, from held-out images alone; greater is better."""
    logits_NK, labels_N = predict(model, data.search, data.normalise, compute, 250)
    loss = float(nn.functional.cross_entropy(logits_NK.float(), labels_N))
    found = {"accuracy": 100 * float((logits_NK.argmax(1) == labels_N).double().mean()), "loss": -loss}
    model.eval()
    batches = placed(data.search, torch.arange(NOISE_IMAGES), data, compute)
    weights = dict(model.named_parameters())

    def under(sigma: float, draw: int, relative: bool) -> ImageResults:
        return loss_under_noise(partial(evaluate, model, batches, compute), weights, sigma, draw, 0, relative=relative)

    try:
        clean = under(0.0, 0, False)
        losses_KTN = np.array([[under(sigma, k, False).losses_N for sigma in SIGMAS] for k in range(DRAWS)])
        found["flatness"] = float(estimate_flatness(losses_KTN, SIGMAS, 1.0).value)
        shaken = [under(0.2, draw, True).accuracy for draw in range(DRAWS)]
        found["robustness"] = -100 * float(np.mean([abs(clean.accuracy - each) for each in shaken]))
        with by_batch([each for each in model.modules() if isinstance(each, _BatchNorm)]):
            found["perturbed_accuracy"] = 100 * float(np.mean([under(0.4, k, True).accuracy for k in range(DRAWS)]))
    except ValueError as error:  # a loss under noise that is not finite: as flat as nothing
        print(f"epoch {epoch}: {error}", flush=True)
    return {name: round(value, 4) for name, value in found.items()}


if __name__ == "__main__":
    main()
