"""The page of the GeNAS study: our figures beside the published ones, in one HTML file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from common import HERE
from lowland.core.files import write_text
from lowland.report import text
from lowland.report.page import Tile, filled


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write the page atomically to `path`. The same document gives the same bytes."""
    write_text(path, render(document))


def render(document: Mapping[str, Any]) -> str:
    """The page as HTML. Every text of `document` is escaped."""
    columns = document["truth"]["columns"]
    return filled(
        "genas_tables.template.html",
        HERE,
        document=document,
        columns=columns,
        tables=[_table(table, columns) for table in document["tables"]],
        differences=[
            {"label": f"{entry['first']} minus {entry['second']}", "cells": [_cell(entry["tau"][c]) for c in columns]}
            for entry in document["differences"]
        ],
        tiles=_tiles(document),
        curves=_curves(document),
        bars=_bars(document),
        seconds=[(name, _seconds(value)) for name, value in document["times"]["candidate"].items()],
        environment=[(key.replace("_", " "), str(value)) for key, value in document["environment"].items()],
        asked=_asked(document),
        settings=json.dumps(document["settings"], indent=2, ensure_ascii=False),
    )


def _number(value: float | None, decimals: int = 3) -> str:
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


def _cell(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Mean, interval over supernets, and the values of each; and whether the interval excludes zero."""
    low, high = figures.get("low"), figures.get("high")
    there = low is not None and high is not None
    return {
        "mean": _number(figures["mean"]),
        "between": f"{_number(low)} to {_number(high)}" if there else "",
        "each": ", ".join(_number(value) for value in figures["values"]) if len(figures["values"]) > 1 else "",
        "excludes_zero": there and (low > 0 or high < 0),
    }


def _table(table: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    rows = []
    for row in table["rows"]:
        figures = [row["tau"][column] for column in columns] if "tau" in row else [row["agreement"]]
        rows.append({**row, "cells": [_cell(each) for each in figures]})
    heads = columns if "tau" in table["rows"][0] else ["between the two"]
    return {"title": table["title"], "rows": rows, "heads": heads, "counts": "tau" in table["rows"][0]}


def _tiles(document: Mapping[str, Any]) -> list[Tile]:
    rows = {row["label"]: row for row in document["tables"][0]["rows"]}
    first = document["truth"]["columns"][0]
    tiles = []
    for name in ("Flatness", "Accuracy"):
        cell = _cell(rows[name]["tau"][first])
        tiles.append(Tile(f"τ-b of {name.lower()}", cell["mean"], "", f"published {rows[name]['published']}"))
    difference = _cell(document["differences"][0]["tau"][first])
    tiles.append(Tile("Flatness minus accuracy", difference["mean"], "", difference["between"] or "one supernet"))
    number = len(document["supernets"])
    tiles.append(Tile("Genotypes", f"{document['sample']:,}", "", f"on {number} supernet{'s' if number > 1 else ''}"))
    return tiles


def _curves(document: Mapping[str, Any]) -> str:
    """Loss against σ: a thin line per supernet, a thick one for their mean."""
    import numpy as np

    from lowland.report.figures.svg import ACCENT, BLUE, ORANGE, figure, inline, styled

    said = []
    with styled():
        drawn = figure(680, 320)
        axes = drawn.subplots()
        for entry, colour in zip(document["curves"], (ACCENT, BLUE, ORANGE), strict=True):
            known = [losses for losses in entry["losses"] if losses is not None]
            if not known:
                continue
            for losses in known:
                axes.plot(entry["sigmas"], losses, color=colour, linewidth=0.8, alpha=0.5)
            mean = np.mean(known, axis=0)
            label = text.clean(f"{entry['group']} {document['k']}")
            axes.plot(entry["sigmas"], mean, color=colour, linewidth=2.2, marker="o", markersize=4.5, label=label)
            said.append(f"{label}: {_number(mean[0], 2)} to {_number(mean[-1], 2)}")
        axes.set_xlabel("σ, standard deviation of the weight noise")
        axes.set_ylabel("cross-entropy, nats")
        if said:
            axes.legend(loc="upper left")
        return inline(drawn, "curves", "Loss against weight noise. " + "; ".join(said) + ".")


def _bars(document: Mapping[str, Any]) -> str:
    """Wall time of a search: supernet training, and scoring as many candidates as the published search."""
    from lowland.report.figures.svg import ACCENT, GREY, figure, inline, styled

    times = document["times"]
    training = times["training"]["mean"] / 60
    shown = [(name, times["searched"] * each / 60) for name, each in times["candidate"].items() if each is not None]
    with styled():
        drawn = figure(680, 44 * len(shown) + 70)
        axes = drawn.subplots()
        names, minutes = [name for name, _ in shown], [each for _, each in shown]
        axes.barh(names, [training] * len(shown), color=GREY, height=0.6, label="supernet training")
        scoring = f"scoring {times['searched']:,} candidates"
        axes.barh(names, minutes, left=[training] * len(shown), color=ACCENT, height=0.6, label=scoring)
        axes.invert_yaxis()
        axes.set_xlabel("minutes")
        axes.grid(axis="y", visible=False)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        said = "; ".join(f"{name} {each:.1f}" for name, each in shown)
        return inline(drawn, "bars", f"Minutes: supernet training {training:.1f}; {scoring} by {said}.")


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _asked(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    truth = document["truth"]
    supernets = document["supernets"]
    rows = [
        ("Truth", f"{truth['file']}, {truth['classes']:,} distinct architectures, SHA-256 {truth['sha256']}"),
        ("Sample", f"{document['sample']:,} of them, seed {document['sample_seed']}"),
        ("Hessian direction", f"on {document['hessian']:,} of the sample"),
        ("Data set", f"{supernets[0]['data']}; losses of {supernets[0]['images']:,} held-out images"),
    ]
    for each in supernets:
        duration = text.rough_duration(each["seconds"])
        rows.append(
            (f"Supernet, seed {each['seed']}", f"{each['run']}, trained in {duration}, SHA-256 {each['sha256']}")
        )
    return rows
