"""The page of `lowland flatness`: figures with standard errors and pictures of the loss surface, in one HTML file."""

from __future__ import annotations

from pathlib import Path

from lowland._version import __version__
from lowland.core.files import write_text
from lowland.measures.surface.drawing import pictures
from lowland.measures.surface.result import Flatness, with_error
from lowland.report.figures.svg import figure, inline, styled
from lowland.report.page import filled
from lowland.report.text import clean
from lowland.report.tiles import Tile

WIDTH, HEIGHT = 440, 320
"""Size of a picture, CSS pixels; slices, whose scales are alike, are square within."""


def write(found: Flatness, path: Path, model: str) -> None:
    """Write the page atomically to `path`. The same result gives the same bytes.

    Args:
        found: What was measured.
        path: The file.
        model: What the model is called.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(path, render(found, model))


def render(found: Flatness, model: str) -> str:
    """The page as HTML. Every text is escaped."""
    drawn = []
    for place, (caption, draw) in enumerate(pictures(found)):
        with styled():
            made = figure(WIDTH, HEIGHT)
            draw(made.subplots())
            drawn.append((caption, inline(made, f"surface-{place}", f"{caption} of {clean(model)}.")))
    return filled(
        "flatness.html",
        model=model,
        version=__version__,
        found=found,
        tiles=_tiles(found),
        levels=[
            (f"{sigma:g}", with_error(loss, error))
            for sigma, loss, error in zip(
                (0.0, *found.sigmas),
                (found.loss, *found.noisy_losses),
                (found.loss_se, *found.noisy_losses_se),
                strict=True,
            )
        ],
        figures=[(name, with_error(value, error) + unit) for name, value, error, unit in found.figures()],
        pictures=drawn,
        figures_json=found.to_json(),
    )


def _tiles(found: Flatness) -> list[Tile]:
    """The few figures a reader wants first."""
    made = [_tile("Flatness", found.flatness, found.flatness_se, f"α = {found.alpha:g}; greater is flatter")]
    made.append(_tile("Loss", found.loss, found.loss_se, f"{found.images:,} images"))
    if found.accuracy is not None:
        made.append(_tile("Accuracy", found.accuracy, found.accuracy_se, "top-1"))
    if found.curvature is not None:
        top = found.curvature.eigenvalues[0]
        made.append(_tile("Largest eigenvalue", top.value, top.standard_error, "of the Hessian"))
        made.append(_tile("Trace", found.curvature.trace, found.curvature.trace_se, "of the Hessian"))
    return made


def _tile(label: str, value: float, error: float | None, note: str) -> Tile:
    shown, sign, rest = with_error(value, error).partition(" ± ")
    return Tile(label, shown, "", f"± {rest}; {note}" if sign else note)
