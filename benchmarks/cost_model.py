"""What do whole runs cost, stage by stage, on one core, on one GPU, on eight and on 64?

For each run (the default on the embedded images, GeNAS' `paper` on CIFAR-10, its `imagenet` on ImageNet) single pieces
of work are timed on one core, as the plan before a run does it (`workflow/timing.py`), and multiplied by their numbers:
that column is **measured** pieces times known counts. Processor time is taken, so that other work on the machine counts
little. Images are random: only their number, size and classes matter. Large steps and scores are timed on fewer images
and taken to grow with their number.

The columns of GPUs are **extrapolated** by the same formulas, from four assumptions that are options and stand in the
result: how many times a core's arithmetic a GPU does (`--gpu-cores`), the least time of a training step and of a
forward pass, which many small kernels take whatever their size (`--step-floor`, `--pass-floor`), and what is lost with
many: `--data-parallel` of torchrun's trainings and `--efficiency` of workers (measured in virtual time,
`dispatch_simulation.py`). `device_check.py` measures the first three where a GPU is at hand.

    OMP_NUM_THREADS=1 python benchmarks/cost_model.py
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from common import RESULTS, save
from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.settings import merge
from lowland.data import DataSet, load
from lowland.data.splits import StreamedSplit, Subset
from lowland.search.strategies import strategy as strategies
from lowland.training.optimization import lengthened, steps_per_epoch
from lowland.workflow import rungs, timing
from lowland.workflow.presets import assemble
from lowland.workflow.timing import Costs, costs, seconds

GPUS = (1, 8, 64)
PIECE_BATCH = 16
"""Images of a step that is timed where images are large; a step of the run's own batch takes as many times longer."""

RUNS: dict[str, dict[str, Any]] = {
    "embedded, all defaults": {"settings": {}},
    "CIFAR-10, paper": {
        "settings": {"space": "nasbench201", "preset": "paper"},
        "images": (50_000, 10_000),
        "size": 32,
        "classes": 10,
    },
    "ImageNet, imagenet": {
        "settings": {"space": "darts", "preset": "imagenet"},
        "images": (1_281_167, 50_000),
        "size": 224,
        "classes": 1000,
    },
}


def random_data(config: Config, train: int, test: int, size: int, classes: int) -> DataSet:
    """Random pictures of that number, size and classes."""

    def read(indices: Tensor) -> Tensor:
        return torch.randint(0, 256, (len(indices), 3, size, size), dtype=torch.uint8)

    whole = StreamedSplit(read, torch.arange(train) % classes)
    held_out = int(train * config.data.search_fraction)
    return replace(
        load(assemble({"data": {"name": "digits"}}).data, seed=0),
        name=f"random images as of {train:,}",
        train=Subset(whole, torch.arange(train - held_out)),
        search=Subset(whole, torch.arange(train - held_out, train)),
        test=StreamedSplit(read, torch.arange(test) % classes),
        classes=tuple(map(str, range(classes))),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        in_channels=3,
        image_size=size,
        crop_padding=size // 8,
    )


def pieces(config: Config, data: DataSet) -> Costs:
    """Seconds of single pieces on one core; what is large is timed on fewer images."""
    large = data.image_size >= 64
    scored = scored_images(config, data)
    few = min(scored, 32 if large else 500)
    share = few / scored
    measure = {"images": few, "calibration_images": max(few, round(share * config.measure.calibration_images))}
    small: dict[str, Any] = {"measure": measure}
    network = supernet = 1.0
    if large:
        small = merge(small, {name: {"batch_size": PIECE_BATCH} for name in ("supernet", "retrain", "measure")})
        network, supernet = config.retrain.batch_size / PIECE_BATCH, config.supernet.batch_size / PIECE_BATCH
    found = costs(Config.model_validate(merge(config.model_dump(), small)), data, resolve(config.compute))

    def times(seconds: float | None, factor: float) -> float | None:
        return None if seconds is None else seconds * factor

    return replace(
        found,
        supernet_step=times(found.supernet_step, supernet),
        candidate=times(found.candidate, 1 / share),
        network_step=found.network_step * network,
        rung_step=times(found.rung_step, network),
        reference_step=times(found.reference_step, network),
    )


def scored_images(config: Config, data: DataSet) -> int:
    """Images that a candidate is scored on."""
    return min(config.measure.images or len(data.search), len(data.search))


def on_gpus(piece: Costs, gpus: int, passes: float, designs: int, of: argparse.Namespace) -> Costs:
    """The same pieces on so many GPUs; `passes` is how many forward passes a candidate takes.

    Of `designs` that begin at the first rung half, on average over the rungs, train at a time.
    """

    def step(core: float | None, parallel: bool) -> float | None:
        shared = gpus * (of.data_parallel if gpus > 1 else 1.0) if parallel else 1.0
        return None if core is None else max(of.step_floor, core / of.gpu_cores / shared)

    workers = of.efficiency if gpus > 1 else 1.0
    candidate = None if piece.candidate is None else max(passes * of.pass_floor, piece.candidate / of.gpu_cores)
    network_step = step(piece.network_step, True)
    assert network_step is not None
    return replace(
        piece,
        supernet_step=step(piece.supernet_step, True),
        network_step=network_step,
        rung_step=step(piece.rung_step, False),
        reference_step=step(piece.reference_step or piece.network_step, False),
        rung_judging=piece.rung_judging and piece.rung_judging / of.gpu_cores,
        candidate=candidate and candidate / workers,
        image=piece.image / of.gpu_cores / (gpus * workers),
        corrupted=piece.corrupted / (of.cpu_cores * gpus),
        scoring_processes=gpus,
        rung_processes=min(gpus, max(1, designs // 2)),
        reference_processes=gpus,
    )


def modelled(name: str, of: argparse.Namespace) -> dict[str, Any]:
    """Stages of one run in seconds, by machine."""
    run = RUNS[name]
    config = assemble(run["settings"], {"compute": {"threads": 1, "device": "cpu"}, "search": {"workers": 1}})
    data = (
        random_data(config, *run["images"], run["size"], run["classes"])
        if "size" in run
        else load(config.data, seed=config.seed)
    )
    piece = pieces(config, data)
    scored = min(config.measure.images or len(data.search), len(data.search))
    batches = -(-scored // config.measure.batch_size) + -(
        -config.measure.calibration_images // config.measure.batch_size
    )
    stages = {"1 core": seconds(config, data, piece, "report")}
    for gpus in GPUS:
        there = on_gpus(piece, gpus, batches * of.passes, config.search.finalists, of)
        stages[f"{gpus} GPU{'s' * (gpus > 1)}"] = seconds(config, data, there, "report")
    longer = lengthened(config.supernet, len(data.train))
    return {
        "pieces on one core, seconds": {key: value for key, value in vars_of(piece).items() if value is not None},
        "supernet steps": longer.epochs * steps_per_epoch(longer, len(data.train)),
        "candidates": strategies.chosen(config.search).candidates(),
        "network steps": rungs.total_steps(config, data),
        "stages, seconds": {
            machine: {stage: float(f"{value:.4g}") for stage, value in each.items()} for machine, each in stages.items()
        },
    }


def vars_of(piece: Costs) -> dict[str, float | None]:
    """Pieces with four digits."""
    left_out = ("processes", "others")  # a count, and what one-shot searches have none of
    names = [name for name in piece.__dataclass_fields__ if not name.endswith(left_out)]
    values = {name: getattr(piece, name) for name in names}
    return {name: None if value is None else float(f"{value:.4g}") for name, value in values.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--gpu-cores", type=float, default=150.0, help="assumed: arithmetic of a GPU over that of one core")
    add("--step-floor", type=float, default=0.015, help="assumed: least seconds of a training step on a GPU")
    add("--pass-floor", type=float, default=0.004, help="assumed: least seconds of a forward pass on a GPU")
    add("--passes", type=float, default=8.0, help="forward passes of each scored batch: noise levels and draws")
    add("--data-parallel", type=float, default=0.85, help="assumed: efficiency of training on several GPUs")
    add("--efficiency", type=float, default=0.75, help="of workers, from dispatch_simulation.py")
    add("--cpu-cores", type=float, default=8.0, help="cores beside each GPU, which corrupt images")
    add("--runs", nargs="+", default=list(RUNS), choices=list(RUNS))
    add("--out", type=Path, default=RESULTS / "cost_model.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    timing.time = SimpleNamespace(perf_counter=time.process_time)
    found = {name: modelled(name, arguments) for name in arguments.runs}
    asked = {key: value for key, value in vars(arguments).items() if key not in ("out", "runs")}
    document = {"benchmark": "cost_model", "measured": "1 core", "extrapolated": "GPUs", "assumptions": asked}
    save(arguments.out, document | {"runs": found}, resolve(assemble({"compute": {"threads": 1}}).compute))
    for name, each in found.items():
        print(name, f"({each['supernet steps']:,} supernet steps, {each['candidates']:,} candidates)")
        for machine, stages in each["stages, seconds"].items():
            hours = ", ".join(f"{stage} {value / 3600:.3g} h" for stage, value in stages.items())
            print(f"  {machine:8} {hours}; in all {sum(stages.values()) / 3600:.3g} h")


if __name__ == "__main__":
    main()
