"""Verbs that train a dense task with a network as the backbone, and their answer in the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import completion, console, dense_options
from lowland.app.options import JsonOutput

if TYPE_CHECKING:
    from lowland.evaluation.dense.results import DenseResults

Network = Annotated[
    str, typer.Argument(help="Run or network folder, published:NAME (`lowland published`) or timm:NAME.")
]
Epochs = Annotated[
    float | None, typer.Option("--epochs", help="Passes over the training pictures \\[default: the preset's].")
]
Steps = Annotated[int | None, typer.Option("--steps", help="Training steps, in place of epochs.")]
BatchSize = Annotated[int | None, typer.Option("--batch-size", help="Pictures per step \\[default: the preset's].")]
Seed = Annotated[int | None, typer.Option("--seed", help="Of the first training \\[default: the run's, or 0].")]
Seeds = Annotated[int, typer.Option("--seeds", help="Trainings, with seeds that follow one another.")]
Scratch = Annotated[bool, typer.Option("--from-scratch", help="Leave the network's trained weights out.")]
Device = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="auto, cpu, cuda, cuda:N or mps \\[default: the run's, or auto].",
        show_default=False,
        autocompletion=completion.among("auto", "cpu", "cuda", "mps"),
    ),
]
OutPath = Annotated[
    Path | None,
    typer.Option("--out", help="Folder to make, or to go on with \\[default: the run's own].", show_default=False),
]


def detect(
    network: Network,
    coco: Annotated[
        Path,
        typer.Option("--coco", help="Folder in COCO's layout: annotations/instances_{train,val}*.json and pictures."),
    ],
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="Design and recipe: small (few pictures), torchvision, detectron2 (all of COCO).",
            autocompletion=completion.among("small", "torchvision", "detectron2"),
        ),
    ] = "small",
    epochs: Epochs = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    scratch: Scratch = False,
    device: Device = None,
    out_path: OutPath = None,
    json_output: JsonOutput = False,
) -> None:
    """Train RetinaNet with this network as its backbone, and judge it: average precision on COCO-like data."""
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
    _study(network, "detection", options, out_path, device, json_output)


def segment(
    network: Network,
    dataset: Annotated[
        str,
        typer.Option(
            "--dataset",
            help="Layout of the data set: cityscapes, camvid or voc.",
            autocompletion=completion.among("cityscapes", "camvid", "voc"),
        ),
    ],
    root: Annotated[Path, typer.Option("--data-root", help="Its folder.")],
    preset: Annotated[
        str,
        typer.Option(
            "--preset",
            help="Design and recipe: small (processors), paper (MMSegmentation's, as in GeNAS).",
            autocompletion=completion.among("small", "paper"),
        ),
    ] = "small",
    output_stride: Annotated[
        int | None,
        typer.Option("--output-stride", help="Of the network's last map: 8, 16 or 32 \\[default: the preset's]."),
    ] = None,
    epochs: Epochs = None,
    steps: Steps = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    seeds: Seeds = 1,
    scratch: Scratch = False,
    device: Device = None,
    out_path: OutPath = None,
    json_output: JsonOutput = False,
) -> None:
    """Train DeepLabv3 with this network as its backbone, and judge it: mIoU on labelled pictures."""
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
    _study(network, "segmentation", options, out_path, device, json_output)


def _study(
    network: str, suite: str, options: Mapping[str, Any], out: Path | None, device: str | None, json_output: bool
) -> None:
    from lowland.app.shown import watched
    from lowland.core.config import ComputeConfig
    from lowland.workflow.dense import study

    compute = None if device is None else ComputeConfig(device=device)
    with watched(console.out, "none" if json_output else "auto") as monitor:
        results, file = study(network, suite, options, out=out, compute=compute, monitor=monitor)
    if json_output:
        console.print_json(results.to_json())
    else:
        console.say([*dense_lines(results, console.out.width), f"figures  {file}"])


def dense_lines(results: DenseResults, width: int) -> list[Any]:
    """What a person sees at the end: all metrics over seeds, with what they were found on."""
    from typing import cast

    from lowland.app.tables import table, wrapped
    from lowland.core.registry import SUITES
    from lowland.evaluation.dense.suite import DenseSuite
    from lowland.report.text import estimate, number

    metrics = cast(type[DenseSuite], SUITES.load(results.task)).told(results)

    def told(judged: DenseResults, key: str) -> list[str]:
        if not judged.has(key):
            return ["–", "–"]
        over = judged.spread(key)
        error = over.standard_error
        mean = number(over.mean, 2) if error is None else estimate(over.mean, error, 2)
        return [mean, over.between or "–"]

    parts = [results] if results.tested is None else [results, results.tested]
    rows = [
        [metric.label, *(text for part in parts for text in told(part, metric.key))]
        for metric in metrics
        if any(part.has(metric.key) for part in parts)
    ]
    seeds = len(results.outcomes)
    tested = f" and {results.test_pictures:,} test" if results.tested is not None else ""
    note = (
        f"{results.pictures:,} validation{tested} pictures, {seeds} {'seed' if seeds == 1 else 'seeds'}; percent; "
        f"backbone {results.network}, {results.weights}"
    )
    several = ["validation, mean", "95 % interval", "test, mean", "95 % interval"]
    header = ["metric", *(several if tested else ["mean", "95 % interval"])]
    return ["", *table(header, rows, width), "", *wrapped(note, width), *results.notes, ""]
