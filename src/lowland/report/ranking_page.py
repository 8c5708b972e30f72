"""The page of `lowland rank`: rank statistics with intervals, scatter plots, agreement of measures, in one HTML file.

It shows a document in the form of rank.json (`lowland.workflow.rank`), and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowland.core.files import write_text
from lowland.report import text
from lowland.report.page import filled
from lowland.report.tiles import Tile

SIZE = 300
"""Side of a scatter plot, CSS pixels."""

MOST_POINTS = 600
"""Genotypes drawn; of more, an even choice by true rank."""

SCOPES = {"all": "All genotypes", "best": "Within the true best tenth"}
DECIMALS = {"tau": 3, "rho": 3, "precision": 2, "regret": 2}


def write(document: Mapping[str, Any], path: Path) -> None:
    """Write the page atomically to `path`. The same document gives the same bytes.

    Raises:
        RunError: the file cannot be written.
    """
    write_text(path, render(document))


def render(document: Mapping[str, Any]) -> str:
    """The page as HTML. Every text of `document` is escaped."""
    columns = document["truth"]["columns"]
    names = [row["name"] for row in document["measures"]]
    plots = {
        column: [
            (name, scatter(document, name, column, f"scatter-{place}-{index}")) for index, name in enumerate(names)
        ]
        for place, column in enumerate(columns)
    }
    genotypes = document["genotypes"]
    return filled(
        "ranking.html",
        document=document,
        columns=columns,
        scopes=SCOPES,
        tables={(column, scope): _table(document, column, scope) for column in columns for scope in SCOPES},
        tiles=_tiles(document),
        plots=plots,
        drawn=min(len(genotypes), MOST_POINTS),
        names=names,
        differences=[_difference(entry) for entry in document["differences"]],
        asked=_asked(document),
        environment=[(key.replace("_", " "), str(value)) for key, value in document["environment"].items()],
        settings=json.dumps(document["settings"]["config"], indent=2, ensure_ascii=False),
    )


def interval(entry: Mapping[str, float | None], decimals: int) -> tuple[str, str]:
    """A value and its interval as text: `0.412` and `0.305 to 0.498`; dashes where undefined."""
    low, high = entry["low"], entry["high"]
    between = f"{_signed(low, decimals)} to {_signed(high, decimals)}" if low is not None and high is not None else ""
    return _signed(entry["value"], decimals), between


def scatter(document: Mapping[str, Any], measure: str, column: str, name: str) -> str:
    """Rank by a measure against true rank, both in percent of the genotypes that the measure scored, as inline SVG."""
    from lowland.report.figures.svg import (  # here: matplotlib takes a second to import
        ACCENT,
        GREY,
        figure,
        inline,
        styled,
    )

    found = [
        (entry["scores"][measure], entry["truth"][column])
        for entry in document["genotypes"]
        if entry["scores"][measure] is not None
    ]
    x, y = _percentiles([score for score, _ in found]), _percentiles([true for _, true in found])
    order = sorted(range(len(found)), key=lambda place: y[place])
    if len(order) > MOST_POINTS:
        order = [order[round(step * (len(order) - 1) / (MOST_POINTS - 1))] for step in range(MOST_POINTS)]
    row = next(row for row in document["measures"] if row["name"] == measure)
    tau = row["truth"].get(column, {}).get("all", {}).get("tau", {}).get("value")
    with styled():
        drawn = figure(SIZE, SIZE)
        axes = drawn.subplots()
        axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
        axes.plot(
            [x[place] for place in order],
            [y[place] for place in order],
            color=ACCENT,
            marker="o",
            linestyle="none",
            markersize=4.5,
            markeredgewidth=0,
            alpha=0.5,
            zorder=2,
        )
        axes.set_xlabel("rank by the measure, %")
        axes.set_ylabel(f"true rank by {text.clean(column)}, %")
        axes.set_xlim(-3, 103)
        axes.set_ylim(-3, 103)
        axes.set_aspect("equal")
        alt = f"Rank by {measure} against true rank by {column} of {len(found)} genotypes; τ-b {_signed(tau, 3)}."
        return inline(drawn, name, alt)


def _percentiles(values: list[float]) -> list[float]:
    """Mid-ranks from 0 (worst) to 100 (best)."""
    import numpy as np
    from scipy.stats import rankdata

    ranks = rankdata(np.array(values)) - 1 if values else np.empty(0)
    percent: list[float] = (100 * ranks / max(1, len(values) - 1)).tolist()
    return percent


def _signed(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}".replace("-", "−")


def _table(document: Mapping[str, Any], column: str, scope: str) -> list[dict[str, Any]]:
    """Rows of one table, best τ-b first; references (another truth column as if it were a measure) last."""
    rows = []
    for group in ("measures", "references"):
        part = []
        for row in document[group]:
            if column not in row["truth"]:
                continue
            facts = row["truth"][column][scope]
            alone = row.get("alone", {}).get(column, ()) if scope == "all" else ()
            seconds, images = row.get("seconds"), row.get("images")
            part.append(
                {
                    "name": row["name"],
                    "reference": group == "references",
                    "alone": [_signed(tau, 2) for tau in alone],
                    "cells": [interval(facts[key], decimals) for key, decimals in DECIMALS.items()],
                    "scored": row.get("scored", len(document["genotypes"])),
                    "failed": row.get("failed", 0),
                    "seconds": "–" if seconds is None else f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}",
                    "images": "–" if images is None else f"{images:,.0f}",
                    "key": facts["tau"]["value"],
                }
            )
        rows += sorted(part, key=lambda row: -2.0 if row["key"] is None else row["key"], reverse=True)
    return rows


def _tiles(document: Mapping[str, Any]) -> list[Tile]:
    tiles = []
    for column in document["truth"]["columns"]:
        rows = [row for row in _table(document, column, "all") if not row["reference"] and row["key"] is not None]
        if rows:
            value, between = rows[0]["cells"][0]
            note = f"{rows[0]['name']}; interval {between}" if between else rows[0]["name"]
            tiles.append(Tile(f"Best τ-b against {column}", value, "", note))
    truth, supernets = document["truth"], document["supernets"]
    sample = len(document["genotypes"])
    tiles.append(Tile("Genotypes", f"{sample:,}", "", f"of {truth['classes']:,} distinct in the truth file"))
    seconds = text.rough_duration(sum(each["seconds"] for each in supernets))
    several = "" if len(supernets) == 1 else f" of {len(supernets)} supernets"
    tiles.append(Tile.of("Supernet training", seconds, "", f"wall time{several}, once for all measures"))
    return tiles


def _difference(entry: Mapping[str, Any]) -> dict[str, Any]:
    value, between = interval(entry, 3)
    clear = entry["low"] is not None and (entry["low"] > 0 or entry["high"] < 0)
    return {**entry, "shown": value, "between": between, "clear": clear}


def _asked(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    truth, settings, data = document["truth"], document["settings"], document["data"]
    config = settings["config"]
    return [
        ("Truth file", Path(truth["file"]).name),
        ("Its SHA-256", truth["sha256"]),
        ("Truth columns", ", ".join(truth["columns"])),
        ("Architectures", f"{truth['architectures']:,}; {truth['classes']:,} distinct; {truth['skipped']:,} left out"),
        ("Sample", f"{settings['sample']:,}, seed {settings['sample_seed']}"),
        ("Intervals", f"{settings['confidence']:.0%}, {settings['resamples']:,} resamples"),
        ("Data set", str(data.get("name", config["data"]["name"]))),
        ("Search space", config["space"]),
        *(
            pair
            for each in document["supernets"]
            for pair in (
                ("Supernet", f"{each['run']}, {each['epochs']} epochs, seed {each['seed']}"),
                ("Its SHA-256", each["sha256"]),
            )
        ),
    ]
