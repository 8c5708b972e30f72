"""The page of `lowland landscape`: several networks over one axis of noise, and the plane around each, in one file.

It shows a document in the form of landscape.json (`lowland.workflow.landscape`), and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lowland.evaluation.landscapes import NetworkLandscape
from lowland.report import text
from lowland.report.page import filled


def render(document: Mapping[str, Any]) -> str:
    """The page as HTML. Every text of `document` is escaped; the same document gives the same bytes."""
    from lowland.report.figures import overlay  # here: matplotlib takes a second to import

    networks = [NetworkLandscape.from_json(each) for each in document["networks"]]
    header, rows = table(networks)
    return filled(
        "landscape.html",
        document=document,
        networks=networks,
        lead=sentence(networks),
        sample=sample(networks, relative=document["relative"], split=document["data"]["split"]),
        plane_images=next((each.plane.images for each in networks if each.plane is not None), 0),
        curves=overlay.curves(networks),
        planes=overlay.planes(networks),
        header=header,
        rows=rows,
        what=[
            (each.name, f"{each.origin}; {text.grouped(each.parameters)} weights; {each.genotype}") for each in networks
        ],
        environment=[(key.replace("_", " "), str(value)) for key, value in document["environment"].items()],
        figures_json=json.dumps(document, ensure_ascii=False, allow_nan=False),
    )


def sentence(networks: Sequence[NetworkLandscape]) -> str:
    """Around which network the loss is lowest under the strongest noise, and around which it rises least.

    A network of high loss may be flat, so both are told. The lowest and the next are told apart where they differ by
    more than two standard errors of their difference; all saw the same images, so that this errs on the silent side.

    Returns:
        The sentence; empty where there is only one network.
    """
    if len(networks) < 2:
        return ""
    first, second = sorted(networks, key=lambda network: network.losses[-1])[:2]
    error = sum((each.errors[-1] or 0.0) ** 2 for each in (first, second)) ** 0.5
    told = error > 0 and second.losses[-1] - first.losses[-1] > 2 * error
    flattest = min(networks, key=_rise)
    figures = [text.estimate(each.losses[-1], each.errors[-1]) for each in (first, second)]
    apart = "" if told else "; the errors do not tell the two apart"
    return (
        f"At σ = {first.sigmas[-1]:g} the loss is lowest around {first.name}, {figures[0]} nats (next: {second.name}, "
        f"{figures[1]}{apart}), and rises least around {flattest.name}, by {_rise(flattest):.3g}."
    )


def table(networks: Sequence[NetworkLandscape]) -> tuple[list[str], list[list[str]]]:
    """Headings and one row for each network: its size, accuracy, loss at every noise level, and flatness."""
    header = ["network", "params", "top-1, %", *(f"σ = {sigma:g}" for sigma in networks[0].sigmas), "flatness"]
    rows = [
        [
            each.name,
            text.size(each.parameters),
            text.estimate(each.top1, each.top1_error),
            *(text.estimate(loss, error) for loss, error in zip(each.losses, each.errors, strict=True)),
            text.estimate(each.flatness, each.flatness_error),
        ]
        for each in networks
    ]
    return header, rows


def sample(networks: Sequence[NetworkLandscape], *, relative: bool, split: str) -> str:
    """How much stands behind every curve, in words."""
    first = networks[0]
    kind = "relative" if relative else "absolute"
    return (
        f"{first.images:,} {split} images, {first.draws} mirrored {'draw' if first.draws == 1 else 'draws'} of "
        f"{kind} noise at each level, the same for all networks; ± is one standard error over images and draws"
    )


def _rise(network: NetworkLandscape) -> float:
    return network.losses[-1] - network.losses[0]
