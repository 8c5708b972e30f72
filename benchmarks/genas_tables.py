"""Every table and figure of the GeNAS study of rank correlation, from one or more trained supernets.

Tables 1 (angle and flatness agree little), 5 (noise levels), 6 (α), 7 (what is perturbed, and along which direction),
8 (γ), figures 2 (loss against σ of good, middling and bad architectures) and 4 (wall time), beside the published
figures. Give supernets that differ only in their seed: intervals and paired differences are over them.

    python benchmarks/genas_tables.py --supernet RUN0 --supernet RUN1 --supernet RUN2 --sample 1000

Every genotype's losses are measured once and kept in --work, so that the same command goes on where it stopped, and a
larger --sample only adds. Other tables of the same losses cost nothing.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import genas_page
from common import RESULTS, SHARED, interval
from genas_losses import CURVE, MAIN, SIGMAS, Part, Row, angle, curve, flatness_config, hessian, measured, noise
from lowland import __version__
from lowland.core.config import MeasureConfig
from lowland.core.device import environment
from lowland.core.errors import ConfigError, LowlandError
from lowland.core.files import write_json
from lowland.core.monitor import Monitor
from lowland.core.settings import assignment
from lowland.evaluation.ranking.statistics import agreement
from lowland.evaluation.ranking.truth import Truth, read_truth
from lowland.measures.noise.flatness import Flatness, flatness_value
from lowland.store.artifacts import supernet_digest
from lowland.store.manifest import now
from lowland.store.run import Run
from lowland.workflow import rank
from lowland.workflow.session import Session

ALPHAS = (0.0, 0.1, 0.5, 1.0, 4.0, 16.0)
GAMMAS = (0.0, 0.5, 1.5, 6.0, 16.0)
SEARCHED = 1000
"""Candidates of the published search, for which wall time is given."""

# Kendall's τ on CIFAR-10; from GeNAS, RLNAS (mean ± standard deviation over 10 supernets) and their tables' captions.
PUBLISHED = {
    "Flatness": "0.6047",
    "Accuracy": "0.540 ± 0.052",
    "Angle, all weights": "0.575 ± 0.002",
    "τ(angle, flatness)": "0.4302",
    **dict(zip(SIGMAS, ("0.5756", "0.5770", "0.6047", "0.5416"), strict=True)),
    "α = 0": "0.1777",
    "α = 0.1": "0.4026",
    "α = 0.5": "0.5890",
    "α = 1": "0.6047",
    "α = 4": "0.5898",
    "α = 16": "0.5820",
    "All weights": "0.6047",
    "Search cells only": "0.5612",
    "Hessian direction": "0.5908",
}
Array = NDArray[np.float64]


def columns(rows: Sequence[Row], config: MeasureConfig) -> dict[str, Array]:
    """Every measure of the tables as a vector over genotypes; NaN where it could not be measured."""

    def column(value: Callable[[Row], float]) -> Array:
        return np.array([_or_nan(value, row) for row in rows])

    def alpha(losses: list[float], value: float) -> float:
        return flatness_value(losses, SIGMAS[MAIN], value)

    flat = column(lambda row: row["noise"][MAIN]["value"])
    accuracy, turned = (
        column(lambda row: row["noise"]["clean"]["accuracy"]),
        column(lambda row: row["angle"]["cells+fixed"]),
    )
    cells = column(lambda row: row["angle"]["cells"])
    found = {
        "Accuracy": accuracy,
        "Loss": -column(lambda row: row["noise"]["clean"]["loss"]),
        "Angle, all weights": turned,
        "Angle, search cells": cells,
        "Flatness": flat,
        **{name: column(lambda row, name=name: row["noise"][name]["value"]) for name in SIGMAS},
        **{f"α = {a:g}": column(lambda row, a=a: alpha(row["noise"][MAIN]["losses"], a)) for a in ALPHAS},
        "All weights": flat,
        "Search cells only": column(lambda row: row["noise"]["cells"]["value"]),
        "Hessian direction": column(lambda row: row["unit hessian"]["value"]),
    }
    # The Hessian direction is measured on fewer genotypes; this is what it is to be held against.
    found["All weights, the same genotypes"] = np.where(np.isnan(found["Hessian direction"]), np.nan, flat)
    for gamma in GAMMAS:
        scale = Flatness(flatness_config(config, gamma=gamma)).weight
        for name, other in (("angle", turned / math.pi), ("angle (cells)", cells / math.pi), ("accuracy", accuracy)):
            found[f"{name} + flatness, γ = {gamma:g}"] = other + scale * flat
    return found


def _or_nan(value: Callable[[Row], float], row: Row) -> float:
    try:
        return value(row)
    except (KeyError, ValueError):  # not measured on this genotype, or an infinite flatness
        return math.nan


TABLES: dict[str, tuple[str, ...]] = {
    "Measures": ("Accuracy", "Loss", "Angle, all weights", "Angle, search cells", "Flatness"),
    "Table 5: noise levels": tuple(SIGMAS),
    "Table 6: weight of depth": tuple(f"α = {a:g}" for a in ALPHAS),
    "Table 7: what is perturbed": (
        "All weights",
        "Search cells only",
        "All weights, the same genotypes",
        "Hessian direction",
    ),
    "Table 8: weight of flatness in a sum": tuple(
        f"{name} + flatness, γ = {g:g}" for name in ("angle", "angle (cells)", "accuracy") for g in GAMMAS
    ),
}
DIFFERENCES = (
    ("Flatness", "Accuracy"),
    ("Flatness", "Loss"),
    ("All weights", "Search cells only"),
    ("All weights, the same genotypes", "Hessian direction"),
    ("angle + flatness, γ = 16", "Flatness"),
    ("accuracy + flatness, γ = 16", "Flatness"),
)


def _flatness(row: Row) -> float:
    found: float = row["noise"][MAIN]["value"]
    return found


def flatness_shares(rows: Sequence[Row], config: MeasureConfig) -> dict[str, float]:
    """Table 8's Flatness (%): 100·γβF / (S + γβF), the mean over genotypes, S being the other part of the sum."""
    found: dict[str, float] = {}
    for gamma in GAMMAS:
        scale = Flatness(flatness_config(config, gamma=gamma)).weight
        for name, other in (
            ("angle", lambda row: row["angle"]["cells+fixed"] / math.pi),
            ("angle (cells)", lambda row: row["angle"]["cells"] / math.pi),
            ("accuracy", lambda row: row["noise"]["clean"]["accuracy"]),
        ):
            parts = [(scale * _or_nan(_flatness, row), _or_nan(other, row)) for row in rows]
            # A row whose sum is zero or unknown has no share.
            each = [100 * part / total for part, rest in parts if abs(total := part + rest) > 0]
            found[f"{name} + flatness, γ = {gamma:g}"] = float(np.mean(each)) if each else math.nan
    return found


def over_seeds(values: Sequence[float | None]) -> Row:
    """One value per supernet, and the mean with its Student-t interval over those that are defined."""
    defined = [value for value in values if value is not None]
    return {"values": list(values)} | (interval(defined) if defined else {"mean": None, "n": 0})


def tables(found: Sequence[dict[str, Array]], truths: dict[str, Array]) -> list[Row]:
    """All tables; `found` holds the columns of every supernet, over the same genotypes as the truths."""

    def line(label: str) -> Row:
        taus = {name: over_seeds([agreement(each[label], true) for each in found]) for name, true in truths.items()}
        least = min(int((~np.isnan(each[label])).sum()) for each in found)
        return {"label": label, "published": PUBLISHED.get(label), "genotypes": least, "tau": taus}

    made = [{"title": title, "rows": [line(label) for label in labels]} for title, labels in TABLES.items()]
    pairs = {
        "τ(angle, flatness)": ("Angle, all weights", "Flatness"),
        "τ(angle of search cells, flatness)": ("Angle, search cells", "Flatness"),
        "τ(accuracy, flatness)": ("Accuracy", "Flatness"),
    }
    alike = [
        {
            "label": label,
            "published": PUBLISHED.get(label),
            "agreement": over_seeds([agreement(e[a], e[b]) for e in found]),
        }
        for label, (a, b) in pairs.items()
    ]
    return [made[0], {"title": "Table 1: agreement of measures", "rows": alike}, *made[1:]]


def differences(found: Sequence[dict[str, Array]], truths: dict[str, Array]) -> list[Row]:
    """Paired differences in τ-b, one per supernet, over the genotypes that both measures scored."""
    made = []
    for first, second in DIFFERENCES:
        taus: Row = {}
        for name, true in truths.items():
            values = []
            for each in found:
                both = ~np.isnan(each[first] + each[second])
                one, other = agreement(each[first][both], true[both]), agreement(each[second][both], true[both])
                values.append(None if one is None or other is None else one - other)
            taus[name] = over_seeds(values)
        made.append({"first": first, "second": second, "tau": taus})
    return made


def groups(truth: Array, k: int) -> dict[str, list[int]]:
    """Places of the k best, middle and worst genotypes by true accuracy."""
    order = np.argsort(-truth, kind="stable")
    middle = (len(order) - k) // 2
    return {"top": order[:k].tolist(), "middle": order[middle : middle + k].tolist(), "bottom": order[-k:].tolist()}


def curves(rows: Sequence[Sequence[Row]], chosen: dict[str, list[int]]) -> list[Row]:
    """Fig. 2: mean loss over each group's genotypes at every σ, by supernet; None where no loss is finite."""

    def mean(found: Sequence[Row]) -> list[float] | None:
        losses = [each["losses"] for each in found if "losses" in each]
        return np.mean(losses, axis=0).tolist() if losses else None

    return [
        {
            "group": group,
            "sigmas": list(CURVE),
            "losses": [mean([own[place]["curve"] for place in places]) for own in rows],
        }
        for group, places in chosen.items()
    ]


def times(rows: Sequence[Sequence[Row]], training: Sequence[float]) -> Row:
    """Fig. 4: seconds of supernet training, and per candidate under each measure, mean over all."""

    def mean(*names: tuple[str, str]) -> float | None:
        each = [
            sum(row[part]["seconds"][name] for part, name in names) for own in rows for row in own if names[0][0] in row
        ]
        return float(np.mean(each)) if each else None

    calibration = ("noise", "calibration")
    return {
        "training": over_seeds(training),
        "searched": SEARCHED,
        "candidate": {
            "angle": mean(("angle", "cells+fixed")),
            "accuracy": mean(calibration, ("noise", "clean")),
            "flatness": mean(calibration, ("noise", "flatness")),
            "angle + flatness": mean(calibration, ("noise", "flatness"), ("angle", "cells+fixed")),
            "flatness, search cells": mean(calibration, ("noise", "cells")),
            "flatness, Hessian direction": mean(("unit hessian", "hessian")),
        },
    }


def study(arguments: argparse.Namespace) -> Row:
    """Measure what is missing and put together what genas_tables.json holds."""
    layers: list[dict[str, Any]] = [{"compute": {"threads": 1}}, *[assignment(text) for text in arguments.settings]]
    every_row, found, training, supernets, shares = [], [], [], [], []
    known: Truth | None = None
    shared: Row = {}
    for home in arguments.supernets:
        config = rank.settings(home, layers, exact=False)
        with Run.open(home, read_only=True) as run:
            run.config = config
            session = Session(run, Monitor())
            if supernets and config.seed in [entry["seed"] for entry in supernets]:
                raise ConfigError(f"supernet {home} has seed {config.seed} as another one; give one supernet per seed")
            fixed = {name: config.model_dump(mode="json")[name] for name in ("space", "data", "supernet", "measure")}
            if supernets and fixed != shared:
                raise ConfigError(f"supernet {home} was trained with other settings than {arguments.supernets[0]}")
            shared = fixed
            known = known or read_truth(arguments.truth, session.space, column=arguments.truth_column)
            places = known.sample(arguments.sample, arguments.sample_seed)
            if len(places) < rank.LEAST:
                raise ConfigError(f"--sample must leave at least {rank.LEAST} genotypes, not {len(places)}")
            genotypes = [known.genotypes[place] for place in places]
            truths = {name: values[places] for name, values in known.columns.items()}
            chosen = groups(truths[arguments.truth_column], min(arguments.k, len(genotypes) // 3))
            parts = [
                Part("angle", angle, genotypes),
                Part("noise", noise, genotypes),
                Part("curve", curve, [genotypes[place] for group in chosen.values() for place in group]),
                Part("unit hessian", hessian, genotypes[: arguments.hessian]),
            ]
            print(f"supernet {home}, seed {config.seed}", flush=True)
            rows = measured(session, parts, arguments.work, arguments.every)
            # Of a smaller sample than one measured before, only what was asked for.
            asked = {part.name: set(map(str, part.genotypes)) for part in parts}
            every_row.append([{name: rows[str(g)][name] for name in asked if str(g) in asked[name]} for g in genotypes])
            found.append(columns(every_row[-1], config.measure))
            shares.append(flatness_shares(every_row[-1], config.measure))
            stage = run.manifest["stages"]["supernet"]
            training.append(stage["seconds"])
            images = sum(len(labels_N) for _, labels_N in session.context.scored)
            supernets.append(
                {
                    "run": home.name,
                    "sha256": supernet_digest(run),
                    "seed": config.seed,
                    "seconds": stage["seconds"],
                    "data": session.data.name,
                    "images": images,
                }
            )
            machine = environment(session.compute)
    assert known is not None
    # The page is published; where the data lay on this machine is nobody's business.
    shared["data"] |= {"name": Path(shared["data"]["name"]).name, "root": None}
    return {
        "benchmark": "genas_tables",
        "created": now(),
        "lowland": __version__,
        "environment": machine,
        "truth": {
            "file": arguments.truth.name,
            "sha256": known.digest,
            "columns": list(truths),
            "classes": len(set(known.classes)),
        },
        "sample": len(genotypes),
        "sample_seed": arguments.sample_seed,
        "hessian": len(parts[3].genotypes),
        "k": len(chosen["top"]),
        "supernets": supernets,
        "settings": shared,
        "tables": tables(found, truths),
        "flatness_share": {name: over_seeds([each[name] for each in shares]) for name in shares[0]},
        "differences": differences(found, truths),
        "curves": curves(every_row, chosen),
        "times": times(every_row, training),
    }


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = made.add_argument
    add("--supernet", type=Path, action="append", required=True, dest="supernets", help="run directory; repeatable")
    add("--truth", type=Path, default=SHARED / "nas" / "nasbench201_cifar10.csv.gz", help="CSV of true accuracies")
    add("--truth-column", default="test_acc")
    add("--sample", type=int, default=1000, help="random distinct genotypes of the truth file; 0: all")
    add("--sample-seed", type=int, default=0)
    add("--hessian", type=int, default=200, help="genotypes of the sample to follow the Hessian on; 0: none")
    add("--k", type=int, default=20, help="genotypes in each group of figure 2")
    add("--set", action="append", default=[], dest="settings", help="measure.KEY=VALUE, such as measure.images=2000")
    add("--work", type=Path, default=Path("runs") / "genas_tables", help="folder where losses are kept")
    add("--every", type=int, default=20, help="genotypes after which losses are written")
    add("--out", type=Path, default=RESULTS, help="folder for genas_tables.json and genas_tables.html")
    return made


def main(given: Sequence[str] | None = None) -> None:
    made = parser()
    arguments = made.parse_args(given)
    try:
        document = study(arguments)
    except LowlandError as error:
        made.error(str(error))
    write_json(arguments.out / "genas_tables.json", document)
    genas_page.write(document, arguments.out / "genas_tables.html")
    for table in document["tables"]:
        print(table["title"])
        for line in table["rows"]:
            for name, figures in (line.get("tau") or {"": line["agreement"]}).items():
                mean = "–" if figures["mean"] is None else f"{figures['mean']:.3f}"
                print(f"  {line['label']:36s} {name:14s} {mean:>6s}  published {line['published'] or '–'}")


if __name__ == "__main__":
    main()
