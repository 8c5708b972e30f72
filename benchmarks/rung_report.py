"""What `rung_study.py` found, from its JSON.

Of every figure: Kendall's τ with the end, and what it promotes: of all networks of a group
those of the best half after each of the rungs go on, down to one, whose accuracies at the end are compared with those
of the network that accuracy promotes, over groups (a data set and a seed each), and with the mean of their group, for
other rungs too; and how much networks differ at the end, beside how much one training does from the next.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from scipy.stats import f as f_distribution
from scipy.stats import kendalltau, rankdata

from common import RESULTS, interval, read

RESULT = RESULTS / "rung_study.json"
ENDS = ("clean", "corrupted")

OF_PRESET = ("quick", "muon")
"""Recipes of the preset `quick`, with its norm: as long as it trained by SGD, and as it is."""

RUNGS = {"quick": (1, 2, 4), "muon": (2, 3, 7)}
"""Epochs after which the default run promotes, as nearly as whole epochs of these trainings are: 1/12, 1/6 and 1/3."""

LATER = {"quick": (), "muon": ((3, 5, 10), (5, 10), (7,), (10,))}
"""Other epochs at which it might: the same number of survivors goes on from the last."""

LEAST = 8
"""Groups of fewer networks, which are not finished, are left out of means."""

PROMOTED_BY: dict[str, tuple[str, ...]] = {
    "accuracy": ("accuracy",),
    "loss": ("loss",),
    "flatness (Eq. 4)": ("flatness",),
    "accuracy + flatness (Eq. 5), ranks": ("accuracy", "flatness"),
    "loss + flatness, ranks": ("loss", "flatness"),
    "accuracy under 40 % noise": ("perturbed_accuracy",),
    "loss + accuracy under 40 % noise, ranks": ("loss", "perturbed_accuracy"),
    "R": ("robustness",),
    "accuracy + R, ranks": ("accuracy", "robustness"),
}
"""Figures by whose summed ranks networks go on."""


def report(recipe: str) -> None:
    """Kendall's τ-b over networks between each figure at a rung and the end; and what promotion by it leads to."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for key, found in read(RESULT)["runs"].items():
        if key.split("/")[2] == recipe:
            group, name, cells = key.rsplit("/", 2)
            groups.setdefault(group, []).append(found | {"name": f"{name}/{cells}"})
    for name, rows in groups.items():
        print(f"{name}: {len(rows)} networks")
        for epoch in rows[0]["rungs"]:
            for kind in rows[0]["rungs"][epoch]:
                taus = {each: [tau(rows, epoch, kind, each, end) for end in ENDS] for each in known(rows, epoch, kind)}
                shown = ", ".join(f"{each} {clean:.2f} {shifted:.2f}" for each, (clean, shifted) in taus.items())
                print(f"  epoch {epoch}, {kind} (τ with clean, corrupted): {shown}")
    if recipe not in OF_PRESET:
        return
    groups = {name: rows for name, rows in groups.items() if len(rows) >= LEAST}
    print(f"τ with the end (clean, corrupted), mean over {len(groups)} groups and 95 % interval")
    for epoch, each in product(
        map(str, RUNGS[recipe]), ("accuracy", "loss", "flatness", "perturbed_accuracy", "robustness")
    ):
        means = [interval([tau(rows, epoch, "averaged", each, end) for rows in groups.values()]) for end in ENDS]
        print(f"  epoch {epoch} {each:20s} " + "   ".join(map(shown_interval, means)))
    if len(groups) > 1:
        report_spread(groups)
    best = [{end: max(row[end] for row in rows) for end in ENDS} for rows in groups.values()]
    for rungs in (RUNGS[recipe], *LATER[recipe]):
        print(f"rungs after epochs {rungs}")
        report_promoted(list(groups.values()), best, rungs)


def report_spread(groups: dict[str, list[dict[str, Any]]]) -> None:
    """Is one network better than another, over groups? Two-way analysis of variance without interaction."""
    names = sorted(set.intersection(*(set(rows) for rows in map(by_name, groups.values()))))
    if len(names) < LEAST:
        return
    for end in ENDS:
        told_GN = np.array([[by_name(rows)[name][end] for name in names] for rows in groups.values()])
        G, N = told_GN.shape
        centred_GN = told_GN - told_GN.mean(1, keepdims=True)
        residual_GN = centred_GN - centred_GN.mean(0)
        error = (residual_GN**2).sum() / ((G - 1) * (N - 1))
        ratio = G * (centred_GN.mean(0) ** 2).sum() / (N - 1) / error
        chance = f_distribution.sf(ratio, N - 1, (G - 1) * (N - 1))
        between = np.sqrt(max(0.0, (ratio - 1) * error / G))
        means = ", ".join(f"{name} {mean:+.2f}" for name, mean in zip(names, centred_GN.mean(0), strict=True))
        print(
            f"{end}: sd between {N} networks {between:.2f}, of one training {np.sqrt(error):.2f} "
            f"(F = {ratio:.2f}, p = {chance:.2f}); over their mean: {means}"
        )


def by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Networks by what they are called, with their cells a stage."""
    return {row["name"]: row for row in rows}


def report_promoted(groups: list[list[dict[str, Any]]], best: list[dict[str, float]], rungs: tuple[int, ...]) -> None:
    """What goes on by each figure."""
    print(
        "promoted, minus what accuracy promotes (points, clean, corrupted); below the best of its group; minus its mean"
    )
    ends = {name: [promoted(rows, parts, rungs) for rows in groups] for name, parts in PROMOTED_BY.items()}
    means = [{end: np.mean([row[end] for row in rows]) for end in ENDS} for rows in groups]
    for name, found in ends.items():
        over = [
            interval([one[end] - other[end] for one, other in zip(found, ends["accuracy"], strict=True)])
            for end in ENDS
        ]
        below = [np.mean([top[end] - one[end] for one, top in zip(found, best, strict=True)]) for end in ENDS]
        above = [np.mean([one[end] - mean[end] for one, mean in zip(found, means, strict=True)]) for end in ENDS]
        print(
            f"  {name:42s} "
            + "   ".join(map(shown_interval, over))
            + f"   {below[0]:.2f} {below[1]:.2f}   {above[0]:+.2f} {above[1]:+.2f}"
        )


def shown_interval(found: dict[str, float]) -> str:
    """Mean and interval."""
    return f"{found['mean']:+.2f} ({found.get('low', np.nan):+.2f} … {found.get('high', np.nan):+.2f})"


def known(rows: list[dict[str, Any]], epoch: str, kind: str) -> list[str]:
    """Figures that all networks have there."""
    first, *others = [row["rungs"][epoch][kind] for row in rows]
    return [each for each in first if all(each in other for other in others)]


def tau(rows: list[dict[str, Any]], epoch: str, kind: str, figure: str, end: str) -> float:
    """Kendall's τ-b of one figure at one rung with one at the end; a figure that a network has not is the worst."""
    told = [row["rungs"][epoch][kind].get(figure, -np.inf) for row in rows]
    return float(kendalltau(told, [row[end] for row in rows]).statistic)


def promoted(rows: list[dict[str, Any]], parts: tuple[str, ...], rungs: tuple[int, ...]) -> dict[str, Any]:
    """The network that is left when the better half goes on from each rung, and the best from the last."""
    alive = list(rows)
    for epoch in map(str, rungs):
        figures_there = [[row["rungs"][epoch]["averaged"].get(part, -np.inf) for row in alive] for part in parts]
        total = np.sum([rankdata([-each for each in told]) for told in figures_there], axis=0)
        keep = 1 if epoch == str(rungs[-1]) else (len(alive) + 1) // 2
        alive = [alive[place] for place in np.argsort(total, kind="stable")[:keep]]
    return alive[0]
