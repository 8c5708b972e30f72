"""Verbs about one trained network: how flat its minimum is, and exporting it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowland.app import console
from lowland.app.options import IMAGES, Given, JsonOutput, layers, takes


@takes(*IMAGES, "plugins")
def flatness(
    given: Given,
    model: Annotated[
        str, typer.Argument(help="Run or network folder, timm:NAME, torchvision:NAME, or package.module:function.")
    ],
    weights: Annotated[
        Path | None, typer.Option("--weights", help=".safetensors, or a .pt state dict.", show_default=False)
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
    points: Annotated[int, typer.Option("--slice-points", help="Its points in each direction, odd.")] = 21,
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
        split=split,
        sigmas=_numbers("--sigmas", sigmas),
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


@takes("plugins")
def export(
    given: Given,
    run_directory: Annotated[Path, typer.Argument(help="Run or network folder.")],
    form: Annotated[str, typer.Option("--format", help="pt2 (torch.export) or onnx.")] = "pt2",
    out_path: Annotated[Path | None, typer.Option("--out", help="File to write.", show_default=False)] = None,
) -> None:
    """Write a delivered network as a torch.export program or as ONNX."""
    from lowland.delivery.export import export as write

    path = out_path or Path(f"network.{form}")
    write(run_directory, form, path)
    console.say([f"written  {path}"])


def _numbers(option: str, text: str) -> tuple[float, ...]:
    from lowland.core.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} must be numbers separated by commas, such as 2e-3,1e-2") from error
