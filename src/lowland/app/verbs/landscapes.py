"""The verb that draws the loss around several networks, and its answer in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowland.app import console
from lowland.app.options import IMAGES, Given, JsonOutput, layers, numbers, takes

if TYPE_CHECKING:
    from rich.text import Text


@takes(*IMAGES, "plugins")
def landscape(
    given: Given,
    networks: Annotated[
        list[str],
        typer.Argument(help="Run or network folders, published:NAME, timm:NAME, or references such as resnet-cell."),
    ],
    train: Annotated[
        bool,
        typer.Option(
            "--train", help="Train references, which have no weights, by the recipe of the first run, on its images."
        ),
    ] = False,
    no_fit: Annotated[
        bool, typer.Option("--no-fit", help="Train them at their own width, not at the size of that run's network.")
    ] = False,
    split: Annotated[str, typer.Option("--split", help="train, search or test images.")] = "search",
    images: Annotated[int, typer.Option("--images", help="Most images behind a curve.")] = 500,
    sigmas: Annotated[
        str, typer.Option("--sigmas", help="Noise levels, comma-separated.")
    ] = "2e-3,5e-3,1e-2,2e-2,4e-2",
    draws: Annotated[int, typer.Option("--draws", help="Noise draws per level.")] = 3,
    relative: Annotated[bool, typer.Option("--relative", help="Noise in proportion to each weight.")] = False,
    plane: Annotated[
        bool, typer.Option("--plane/--no-plane", help="Also the loss in a plane of two filter-normalised directions.")
    ] = True,
    span: Annotated[
        float | None, typer.Option("--span", help="Its reach in filter norms \\[default: 1].", show_default=False)
    ] = None,
    points: Annotated[int, typer.Option("--points", help="Its points in each direction, odd.")] = 11,
    plane_images: Annotated[int, typer.Option("--plane-images", help="Most images behind it.")] = 256,
    out_path: Annotated[Path, typer.Option("--out", help="Folder to make, or to go on with.")] = Path("runs/landscape"),
    json_output: JsonOutput = False,
) -> None:
    """Draw the loss around the weights of several networks: under noise, and in a plane, with standard errors."""
    from lowland.app.display import stoppable
    from lowland.app.shown import shown
    from lowland.workflow.landscape import LandscapeRequest
    from lowland.workflow.landscape import landscape as drawn
    from lowland.workflow.presets import assemble

    request = LandscapeRequest(
        networks=tuple(networks),
        train=train,
        fit=not no_fit,
        split=split,
        images=images,
        sigmas=numbers("--sigmas", sigmas),
        draws=draws,
        relative=relative,
        plane=plane,
        span=span,
        points=points,
        plane_images=plane_images,
    )
    config = assemble(*layers(given))
    display = shown(console.out, "none" if json_output else "auto")
    with stoppable(display):
        document = drawn(config, out_path, request, data_given=given["data"] is not None, monitor=display)
    if json_output:
        console.print_json(document)
        return
    console.say(landscape_lines(document, out_path, console.out.width))


def landscape_lines(document: dict[str, Any], out: Path, width: int) -> list[str | Text]:
    """What a person sees at the end: one table, the sample, what is to be known, and where the pictures are."""
    from lowland.app.tables import table, wrapped
    from lowland.evaluation.landscapes import NetworkLandscape
    from lowland.report import landscape_page
    from lowland.workflow.landscape import PAGE, RESULT

    networks = [NetworkLandscape.from_json(each) for each in document["networks"]]
    header, rows = landscape_page.table(networks)
    said = landscape_page.sample(networks, relative=document["relative"], split=document["data"]["split"])
    texts = [f"Loss: cross-entropy, nats; {said}.", landscape_page.sentence(networks), *document["notes"]]
    below = [line for text in texts if text for line in wrapped(text, width)]
    return ["", *table(header, rows, width), "", *below, "", f"figures  {out / RESULT}", f"page     {out / PAGE}"]
