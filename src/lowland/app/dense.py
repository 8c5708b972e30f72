"""Dense tasks from Python: `lowland.detect` and `lowland.segment`, as the verbs of these names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowland.app import console, dense_options
from lowland.app.encoding import written_out
from lowland.app.shown import Mode, watched
from lowland.core.config import ComputeConfig
from lowland.core.monitor import Monitor
from lowland.evaluation.dense.results import DenseResults
from lowland.workflow.dense import study
from lowland.workflow.result import RunResult


def detect(
    network: Path | str | RunResult,
    coco: Path | str,
    *,
    preset: str = "small",
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    seeds: int = 1,
    scratch: bool = False,
    out: Path | str | None = None,
    device: str | None = None,
    monitor: Monitor | None = None,
    progress: Mode = "auto",
) -> DenseResults:
    """Train RetinaNet with a network as its backbone, and judge it: average precision on COCO-like data.

    Example:
        `lowland.detect("runs/mine", "coco", preset="detectron2").spread("AP").mean`

    Args:
        network: Run or network folder, what `run` returned, `published:NAME` or `timm:NAME`.
        coco: Folder with `annotations/instances_{train,val}*.json` and the folders of pictures.
        preset: Design and recipe: small (few pictures), torchvision, detectron2 (all of COCO).
        epochs: Passes over the training pictures; None: the preset's.
        steps: Training steps, in place of epochs.
        batch_size: Pictures per step; None: the preset's.
        seed: Of the first training; None: the run's, or 0.
        seeds: Trainings, with seeds that follow one another.
        scratch: Leave the network's trained weights out.
        out: Folder to make, or to go on with; None: the run's own.
        device: Where to compute; None: as the run does, or the best there is.
        monitor: Hears how it goes in place of what `progress` says.
        progress: live, lines or none; auto: live where that can be, else lines.

    Returns:
        The figures of every seed, `spread(metric)` over seeds with its interval, and loss curves.

    Raises:
        LowlandError: network, data, settings or the place for results do not allow it; nothing is then written.
        InterruptedRun: Ctrl-C, or the monitor asked for a stop; the same call goes on.
    """
    options = dense_options.detection(
        coco,
        preset=preset,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        seeds=seeds,
        scratch=scratch,
    )
    return _study(network, "detection", options, out, device, monitor, progress)


def segment(
    network: Path | str | RunResult,
    dataset: str,
    root: Path | str,
    *,
    preset: str = "small",
    output_stride: int | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    seed: int | None = None,
    seeds: int = 1,
    scratch: bool = False,
    out: Path | str | None = None,
    device: str | None = None,
    monitor: Monitor | None = None,
    progress: Mode = "auto",
) -> DenseResults:
    """Train DeepLabv3 with a network as its backbone, and judge it: mIoU on labelled pictures.

    Example:
        `lowland.segment("runs/mine", "camvid", "CamVid").spread("mIoU").mean`

    Args:
        network: Run or network folder, what `run` returned, `published:NAME` or `timm:NAME`.
        dataset: Layout of the data set: cityscapes, camvid or voc.
        root: Its folder.
        preset: Design and recipe: small (processors), paper (MMSegmentation's, as in GeNAS).
        output_stride: Of the network's last map: 8, 16 or 32; None: the preset's.
        epochs: Passes over the training pictures; None: the preset's.
        steps: Training steps, in place of epochs.
        batch_size: Pictures per step; None: the preset's.
        seed: Of the first training; None: the run's, or 0.
        seeds: Trainings, with seeds that follow one another.
        scratch: Leave the network's trained weights out.
        out: Folder to make, or to go on with; None: the run's own.
        device: Where to compute; None: as the run does, or the best there is.
        monitor: Hears how it goes in place of what `progress` says.
        progress: live, lines or none; auto: live where that can be, else lines.

    Returns:
        The figures of every seed, `spread(metric)` over seeds with its interval, and loss curves.

    Raises:
        LowlandError: network, data, settings or the place for results do not allow it; nothing is then written.
        InterruptedRun: Ctrl-C, or the monitor asked for a stop; the same call goes on.
    """
    options = dense_options.segmentation(
        dataset,
        root,
        output_stride,
        preset=preset,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        seeds=seeds,
        scratch=scratch,
    )
    return _study(network, "segmentation", options, out, device, monitor, progress)


def _study(
    network: Path | str | RunResult,
    suite: str,
    options: Mapping[str, Any],
    out: Path | str | None,
    device: str | None,
    monitor: Monitor | None,
    progress: Mode,
) -> DenseResults:
    named = str(network.path if isinstance(network, RunResult) else network)
    compute = None if device is None else ComputeConfig(device=device)
    place = None if out is None else Path(out)
    with written_out(), watched(console.out, progress, monitor=monitor) as watching:
        results, _ = study(named, suite, options, out=place, compute=compute, monitor=watching)
    return results
