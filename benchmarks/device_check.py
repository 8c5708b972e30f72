"""Whether a device does what lowland promises, and how fast: one command, a JSON out; under 8 minutes on one GPU.

    python benchmarks/device_check.py --device cuda --out benchmarks/results/device_check.json
    python benchmarks/device_check.py --device cpu --small           # minutes become seconds; runs in the tests

Per precision, with and without `compute.deterministic`: whether two trainings of a supernet end in the same bits, and
whether one that stopped half-way does. Images per second of supernet training against a bare loop over one network.
Waits for the GPU per step. The share of the time that the device computes, in training and in scoring. Candidates per
second by batch size. Kendall's τ and the largest difference between scores on the device, with TF32 in them and
without, and on the CPU in fp32. What a default run costs there, by the pieces that the plan of a run times
(`device_costs`). At the end some lines for people.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau
from torch import Tensor, nn

import device_costs
from device_costs import busy_share, synchronise
from lowland import measures, spaces
from lowland.core.config import Config, build
from lowland.core.device import Compute, environment, resolve
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng
from lowland.core.torch_settings import settings_kept, tf32
from lowland.data import DataSet, load, order
from lowland.measures import Context
from lowland.spaces import Supernet
from lowland.training import network as network_training
from lowland.training import supernet as supernet_training
from lowland.training.loop import Job, fit
from lowland.workflow import presets
from lowland.workflow.placed import placed


class Kept:
    """A checkpoint in memory."""

    def __init__(self) -> None:
        self.found: tuple[dict[str, Tensor], dict[str, Any]] | None = None

    def save_checkpoint(self, name: str, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        """Keep a copy, with the state as JSON would have it."""
        self.found = (
            {key: value.detach().cpu().clone() for key, value in tensors.items()},
            json.loads(json.dumps(state)),
        )

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """What was kept last."""
        return self.found


def settings(device: str, precision: str, deterministic: bool, small: bool) -> Config:
    size = {"channels": 4, "cells": 1} if small else {}
    values = {
        "data": {"name": "digits"},
        "supernet": {"epochs": 1, "min_steps": 0, **size},
        "compute": {"device": device, "precision": precision, "deterministic": deterministic},
    }
    return presets.complete(build(values))


def job(config: Config, data: DataSet, compute: Compute, seed: int = 0) -> Job:
    supernet = compute.prepare(supernet_training.initial(config, data)).train()
    return replace(supernet_training.job(config, data, supernet, compute), seed=seed)


def bits(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def same(mine: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(mine[name], other[name]) for name in mine)


@settings_kept()
def repeats(device: str, precision: str, deterministic: bool, steps: int, small: bool) -> dict[str, Any]:
    """Whether a training repeats its bits, and does so from a checkpoint half-way."""
    config = settings(device, precision, deterministic, small)
    compute = resolve(config.compute)
    data = load(config.data, seed=config.seed, device=compute.device)
    found = []
    for _ in range(2):
        once = job(config, data, compute)
        fit(once, until=steps, checkpoints=Kept())
        found.append(bits(once.model))
    kept = Kept()
    fit(job(config, data, compute), until=steps // 2, checkpoints=kept)
    resumed = job(config, data, compute)
    fit(resumed, until=steps, checkpoints=kept)
    return {"repeats": same(*found), "resumes": same(found[0], bits(resumed.model))}


@contextmanager
def waits(compute: Compute, found: list[str]) -> Iterator[None]:
    """Within, note every wait of the CPU for the GPU; on a CPU there are none."""
    if compute.device.type != "cuda":
        yield
        return
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [str(each.message) for each in said if "synchroniz" in str(each.message)]


def throughput(config: Config, data: DataSet, compute: Compute, steps: int) -> dict[str, Any]:
    """Training images per second: the supernet by `fit`, and a bare loop over one of its paths."""
    fit(job(config, data, compute), until=max(2, steps // 4), checkpoints=Kept())
    found: list[str] = []
    once = job(config, data, compute)
    synchronise(compute)
    began = time.perf_counter()
    with waits(compute, found):
        fit(once, until=steps, checkpoints=Kept())
    synchronise(compute)
    batch = min(once.recipe.batch_size, len(once.split))
    ours = steps * batch / (time.perf_counter() - began)
    genotype = spaces.get(config.space).sample(numpy_rng(0, "device check"))
    shape = supernet_training.shape(config, data)
    body = compute.prepare(network_training.build(genotype, shape, config.retrain, 0)).train()
    optimizer = torch.optim.SGD(body.parameters(), lr=0.01, momentum=0.9, foreach=True)
    x_NCHW = compute.place(data.normalise(data.train.images(torch.arange(batch))))
    labels_N = data.train.labels_N[:batch]

    def step() -> None:
        with compute.autocast():
            output = body(x_NCHW)
        logits_NK = output[0] if isinstance(output, tuple) else output
        nn.functional.cross_entropy(logits_NK.float(), labels_N).backward()
        optimizer.step()
        optimizer.zero_grad()

    step()
    synchronise(compute)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise(compute)
    bare = steps * batch / (time.perf_counter() - began)
    return {
        "supernet_images_per_second": round(ours, 1),
        "one_path_in_a_bare_loop": round(bare, 1),
        "waits_per_step": round(len(found) / steps, 2) if compute.device.type == "cuda" else None,
        "busy_share": round(
            busy_share(compute, lambda: partial(fit, job(config, data, compute), until=steps, checkpoints=Kept())), 3
        ),
    }


def context(config: Config, data: DataSet, compute: Compute, size: int, images: int) -> Context:
    def part(split: Any, count: int, key: str) -> Any:
        chosen = order(len(split), seed=config.seed, keys=(key,))[:count]
        return placed(split, chosen, size, data=data, compute=compute, memory_gb=1.0)

    return Context(
        space=spaces.get(config.space),
        scored=part(data.search, images, "scored images"),
        calibration=part(data.train, images, "calibration"),
        initial={},
        compute=compute,
        seed=config.seed,
        augmented=(),
    )


def scores(
    config: Config, supernet: Supernet, genotypes: list[Genotype], where: Context, name: str = "loss"
) -> tuple[np.ndarray, float]:
    """Scores, and candidates per second."""
    measure = measures.get(config.measure.model_copy(update={"name": name}))
    measure.score(supernet, genotypes[0], where)
    synchronise(where.compute)
    began = time.perf_counter()
    found = np.array([measure.score(supernet, genotype, where).value for genotype in genotypes])
    synchronise(where.compute)
    return found, len(genotypes) / (time.perf_counter() - began)


def agreement(ours: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    return {
        "tau": round(float(kendalltau(ours, reference).statistic), 4),
        "largest_difference": float(np.abs(ours - reference).max()),
    }


@settings_kept()
def check(device: str, small: bool) -> dict[str, Any]:
    steps, candidates, images = (6, 4, 32) if small else (60, 60, 500)
    config = settings(device, "auto", False, small)
    compute = resolve(config.compute)
    result: dict[str, Any] = {"environment": environment(compute), "small": small, "repeats": {}}
    precisions = ["fp32", "bf16", *(["fp16"] if compute.device.type == "cuda" else [])]
    for precision in precisions:
        for deterministic in (False, True):
            name = precision + (", deterministic" if deterministic else "")
            try:
                result["repeats"][name] = repeats(device, precision, deterministic, steps, small)
            except RuntimeError as error:  # an operation that has no way to repeat its bits
                result["repeats"][name] = {"error": str(error).splitlines()[0][:200]}
    data = load(config.data, seed=config.seed, device=compute.device)
    result["training"] = throughput(config, data, compute, steps)
    space = spaces.get(config.space)
    genotypes = [space.sample(numpy_rng(0, "device check", each)) for each in range(candidates)]
    supernet = supernet_training.initial(config, data)
    supernet = compute.prepare(supernet).eval()
    sizes = (16, 32) if small else (125, 250, 500)
    result["candidates_per_second_by_batch"] = {
        str(size): round(scores(config, supernet, genotypes, context(config, data, compute, size, images))[1], 3)
        for size in sizes
    }
    usual = context(config, data, compute, sizes[0], images)
    result["busy_share_of_scoring"] = round(
        busy_share(compute, lambda: partial(scores, config, supernet, genotypes, usual)), 3
    )
    # Precision and device together against the arithmetic that defines the score.
    plain = resolve(config.compute.model_copy(update={"device": "cpu", "precision": "fp32"}))
    on_cpu = load(config.data, seed=config.seed, device=plain.device)
    again = plain.prepare(supernet_training.initial(config, on_cpu)).eval()
    reference, _ = scores(config, again, genotypes, context(config, on_cpu, plain, 125, images))
    full = replace(compute, autocast_dtype=None)
    supernet = compute.prepare(supernet_training.initial(config, data)).eval()
    where = {"as chosen": context(config, data, compute, 125, images), "fp32": context(config, data, full, 125, images)}
    result["against_cpu_fp32"] = {
        name: agreement(scores(config, supernet, genotypes, each)[0], reference) for name, each in where.items()
    }
    if compute.device.type == "cuda":
        with tf32(True):
            rounded, _ = scores(config, supernet, genotypes, where["fp32"])
        result["against_cpu_fp32"]["fp32 with TF32"] = agreement(rounded, reference)
    result["default_run"] = device_costs.default_run(device, small)
    return result


def lines(result: dict[str, Any]) -> Iterator[str]:
    """For people."""
    where, training = result["environment"], result["training"]
    yield f"{where.get('gpu', where['processor'])}, torch {where['torch']}, {where['precision']}"
    for name, found in result["repeats"].items():
        yield f"{name:<22} " + ", ".join(f"{key}: {value}" for key, value in found.items())
    yield f"supernet {training['supernet_images_per_second']} images/s"
    yield f"one path in a bare loop {training['one_path_in_a_bare_loop']} images/s"
    if training["waits_per_step"] is not None:
        yield f"waits for the GPU: {training['waits_per_step']} per step"
    yield (
        f"the device computes {100 * training['busy_share']:.0f} % of the time of training, "
        f"{100 * result['busy_share_of_scoring']:.0f} % of scoring"
    )
    for size, rate in result["candidates_per_second_by_batch"].items():
        yield f"batch {size:>4}: {rate} candidates/s"
    for name, found in result["against_cpu_fp32"].items():
        yield f"{name} against fp32 on the CPU: τ {found['tau']}, at most {found['largest_difference']:.2g} apart"
    yield from device_costs.lines(result["default_run"])


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    result = check(options.device, options.small)
    result["seconds"] = round(time.perf_counter() - began, 1)
    print("\n".join(lines(result)))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    return result


if __name__ == "__main__":
    main()
