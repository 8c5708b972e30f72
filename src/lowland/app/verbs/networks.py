"""Verbs about one trained network: how flat its minimum is, and exporting it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowland.app import console
from lowland.app.options import IMAGES, Given, JsonOutput, layers, numbers, takes

if TYPE_CHECKING:
    from lowland.delivery.agreement import Outcome


@takes(*IMAGES, "plugins")
def flatness(
    given: Given,
    model: Annotated[
        str, typer.Argument(help="Run or network folder, timm:NAME, torchvision:NAME, or package.module:function.")
    ],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help=".safetensors, or a .pt state dict or checkpoint.", show_default=False),
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option("--weights-key", help="Which of several weights in it, such as model_ema.", show_default=False),
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, search or test images.")] = "search",
    sigmas: Annotated[str, typer.Option("--sigmas", help="Noise levels, comma-separated.")] = "2e-3,1e-2,2e-2",
    alpha: Annotated[float, typer.Option("--alpha", help="Weight of the depth term.")] = 1.0,
    draws: Annotated[int, typer.Option("--draws", help="Noise draws per level.")] = 3,
    relative: Annotated[bool, typer.Option("--relative", help="Noise in proportion to each weight.")] = False,
    images: Annotated[int, typer.Option("--images", help="Most images used.")] = 1000,
    curvature: Annotated[
        bool, typer.Option("--curvature", help="Also the Hessian: trace, largest eigenvalues, spectral density.")
    ] = False,
    eigenvalues: Annotated[int, typer.Option("--eigenvalues", help="How many of the largest.")] = 3,
    vectors: Annotated[int, typer.Option("--vectors", help="Random vectors of trace and density.")] = 8,
    sharpness: Annotated[
        list[float] | None,
        typer.Option(
            "--sharpness", help="Radius ρ: also the rise of the loss after one step. Repeatable.", show_default=False
        ),
    ] = None,
    adaptive: Annotated[bool, typer.Option("--adaptive", help="Scale that step by the weights (ASAM).")] = False,
    slices: Annotated[
        list[str] | None,
        typer.Option(
            "--slice", help="Also the loss in a plane: random, or hessian eigenvectors. Repeatable.", show_default=False
        ),
    ] = None,
    span: Annotated[
        float | None,
        typer.Option("--slice-span", help="Its reach; 1 filter norm, or .5 along eigenvectors.", show_default=False),
    ] = None,
    points: Annotated[int, typer.Option("--slice-points", help="Its points in each direction, odd.")] = 15,
    curvature_images: Annotated[
        int, typer.Option("--curvature-images", help="Most images of curvature, sharpness and slices.")
    ] = 256,
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Write a page with pictures, .html.", show_default=False)
    ] = None,
    json_output: JsonOutput = False,
) -> None:
    """Measure flatness, curvature and sharpness of a trained PyTorch model, with standard errors."""
    from typing import cast

    from lowland.measures.surface.slices import Plane
    from lowland.measures.surface.views import Views
    from lowland.workflow import probe
    from lowland.workflow.presets import assemble

    # Refused where it is wrong before anything is loaded.
    views = Views(
        curvature=curvature,
        eigenvalues=eigenvalues,
        vectors=vectors,
        sharpness=tuple(sharpness or ()),
        adaptive=adaptive,
        slices=cast("tuple[Plane, ...]", tuple(slices or ())),
        span=span,
        points=points,
        images=curvature_images,
    )
    result = probe.flatness_of(
        model,
        assemble(*layers(given)),
        data_given=given["data"] is not None,
        weights=weights,
        weights_key=weights_key,
        split=split,
        sigmas=numbers("--sigmas", sigmas),
        alpha=alpha,
        draws=draws,
        relative=relative,
        images=images,
        views=views,
    )
    if json_output:
        typer.echo(result.to_json())
    else:
        console.say(result.summary().splitlines())
    if out_path is not None:
        from lowland.report import flatness_page

        # After the figures are said, so that a page that cannot be written costs nothing that was computed.
        flatness_page.write(result, out_path, model)
        if not json_output:
            console.say([f"written  {out_path}"])


@takes("data", "data_root", "plugins")
def export(
    given: Given,
    run_directory: Annotated[Path, typer.Argument(help="Run or network folder.")],
    form: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="safetensors, pt2 (torch.export), onnx, onnx-int8. Repeatable, or separated by commas; pt2 where none "
            "is given.",
            show_default=False,
        ),
    ] = None,
    out_path: Annotated[
        Path | None,
        typer.Option("--out", help="File to write; of several formats the folder.", show_default=False),
    ] = None,
    normalise: Annotated[
        bool,
        typer.Option(help="Programs take uint8 images and normalise them, or take float images normalised already."),
    ] = True,
    check: Annotated[bool, typer.Option(help="Compare each file with the network on test images, and time it.")] = True,
    images: Annotated[int, typer.Option("--images", help="Most test images to compare on.")] = 1000,
    calibration_images: Annotated[
        int, typer.Option("--calibration-images", help="Training images that int8 is calibrated on.")
    ] = 2048,
) -> None:
    """Write a delivered network in other forms: safetensors, torch.export, ONNX, int8; each is checked and timed."""
    from lowland.app.tables import table
    from lowland.workflow.exporting import export_network
    from lowland.workflow.presets import assemble

    names = [name.strip() for text in form or ["pt2"] for name in text.split(",") if name.strip()]
    done = export_network(
        run_directory,
        assemble(*layers(given)),
        names=names,
        out=out_path,
        data_given=given["data"] is not None,
        normalise=normalise,
        checked=check,
        images=images,
        calibration_images=calibration_images,
    )
    console.say([f"written  {file.path}" for file in done.files])
    outcomes = [file.outcome for file in done.files if file.outcome is not None]
    if outcomes:
        console.say(table(*export_rows(outcomes), console.out.width))
        console.say(
            [
                f"share: of the fp32 weights; top-1 (%) and differences from PyTorch on "
                f"{outcomes[0].agreement.images:,} test images; × is time relative to PyTorch, one thread"
            ]
        )
    if done.unnoted:
        console.complain(done.unnoted)


def export_rows(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """What the terminal shows: sizes, differences, and times of one image and of sixteen with one thread."""
    header = ["format", "MB", "share", "logits ±", "top-1", "change", "1 image", "16 images"]
    rows = []
    for each in outcomes:
        found = each.agreement
        single = [latency for latency in each.latency if latency.threads == 1]
        rows.append(
            [
                each.form,
                f"{each.bytes / 1e6:.2f}",
                f"{each.share:.2f}",
                f"{found.largest_difference:.1e}",
                f"{found.top1:.1f}",
                f"{found.top1_change:+.1f}",
                *(f"{latency.milliseconds:.2f} ms ×{latency.ratio:.2f}" for latency in single),
            ]
        )
    return header, rows
