"""What work costs on a device: the share of the time that it computes, and what a default run is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from lowland.core.amounts import clock
from lowland.core.device import Compute, resolve
from lowland.data import load
from lowland.evaluation.suite import Effort, suites
from lowland.search.strategies import strategy as strategies
from lowland.workflow import presets, rungs
from lowland.workflow.plan import Rungs, plan
from lowland.workflow.timing import costs

SMALL: Mapping[str, Any] = {
    "data": {"name": "digits", "limit": 400},
    "supernet": {"channels": 4, "cells": 1, "epochs": 2, "min_steps": 0},
    "network": {"channels": 4, "cells": 1},
    "retrain": {"epochs": 2, "min_steps": 0},
    "measure": {"calibration_images": 64, "images": 40},
}
"""Settings of a default run in small."""


def synchronise(compute: Compute) -> None:
    """Wait for a GPU."""
    if compute.device.type == "cuda":
        torch.cuda.synchronize(compute.device)


def busy_share(compute: Compute, made: Callable[[], Callable[[], object]]) -> float:
    """The share of the time of a piece of work in which the device computes, in [0, 1].

    On CUDA: the union of the times of all kernels and copies, by the profiler, over the time that the same work takes
    without the profiler, which slows the launching of kernels and not the kernels. On a CPU: the processor time of this
    process over the time and the threads.

    Args:
        compute: Where.
        made: Makes the same piece of work anew; what the making costs is not counted.

    Returns:
        The share.
    """
    work = made()
    synchronise(compute)
    began, used = time.perf_counter(), time.process_time()
    work()
    synchronise(compute)
    wall, used = time.perf_counter() - began, time.process_time() - used
    if compute.device.type != "cuda":
        return min(1.0, used / (wall * compute.threads))
    work = made()
    synchronise(compute)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        synchronise(compute)
    on_gpu = (
        (each.time_range.start, each.time_range.end)
        for each in profile.events() or ()
        if each.device_type == torch.autograd.DeviceType.CUDA and not getattr(each, "is_user_annotation", False)
    )
    return min(1.0, 1e-6 * covered(on_gpu) / wall)


def covered(intervals: Iterable[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


def default_run(device: str, small: bool) -> dict[str, Any]:
    """What `lowland run` with its defaults costs here, planned from pieces of work that are timed: times in seconds."""
    config = presets.assemble({**(SMALL if small else {}), "compute": {"device": device}})
    compute = resolve(config.compute)
    data = load(config.data, seed=config.seed, device=compute.device)
    if compute.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(compute.device)
    piece = costs(config, data, compute)
    # With the same number of threads they are not timed apart.
    piece = replace(
        piece,
        rung_step=piece.rung_step or piece.network_step,
        reference_step=piece.reference_step or piece.network_step,
    )
    planned = plan(config, data, compute, "report", piece)
    steps = {
        "rungs" if isinstance(each, Rungs) else each.name: each.steps * getattr(each, "networks", 1)
        for each in planned.trainings
    }
    effort = sum((each.effort(config, data) for each in suites(config)), Effort())
    designs = rungs.rungs(config, data, config.search.finalists)
    return {
        "data": data.name,
        "preset": config.preset,
        "workers": planned.workers,
        "gpus": planned.gpus,
        "counts": {
            "supernet steps": steps.get("supernet", 0),
            "scores": strategies.chosen(config.search).candidates(),
            "rung steps": steps.get("rungs", 0),
            "finalists judged": sum(each.designs for each in designs),
            "retraining steps": steps["retraining"],
            "reference steps": effort.trainings * rungs.total_steps(config, data),
            "images judged": effort.images * config.retrain.top,
            "images corrupted": effort.corrupted,
        },
        "pieces": {name: value for name, value in asdict(piece).items() if value not in (None, {})},
        "stages": dict(planned.seconds),
        "seconds": sum(planned.seconds.values()),
        "peak_gb": round(torch.cuda.max_memory_allocated(compute.device) / 2**30, 2)
        if compute.device.type == "cuda"
        else None,
    }


OF = {
    "supernet steps": "supernet_step",
    "scores": "candidate",
    "rung steps": "rung_step",
    "finalists judged": "rung_judging",
    "retraining steps": "network_step",
    "reference steps": "reference_step",
    "images judged": "image",
    "images corrupted": "corrupted",
}
"""What is counted, and which piece one of them is."""


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Ten lines for people."""
    where = f", {found['workers']} workers on {found['gpus']:g} GPUs" if found["workers"] > 1 else ""
    yield f"a default run ({found['data']}, preset {found['preset']}{where}), planned from pieces timed here:"
    for what, piece in OF.items():
        count, seconds = found["counts"][what], found["pieces"].get(piece)
        each = "not timed" if seconds is None else f"{1e3 * seconds:>9.3g} ms each"
        yield f"{count or 0:>10,} {what:<17} {each}"
    stages = ", ".join(f"{name} {clock(seconds)}" for name, seconds in found["stages"].items())
    memory = "" if found["peak_gb"] is None else f"; {found['peak_gb']} GB of the GPU at most in these pieces"
    yield f"in all {clock(found['seconds'])} ({stages}){memory}"
