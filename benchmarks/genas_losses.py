"""What the GeNAS study measures of a supernet's genotypes: once each, kept on disk, so that a stop loses little."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from common import read
from lowland import measures
from lowland.core.config import MeasureConfig
from lowland.core.files import write_json
from lowland.core.genotype import Genotype
from lowland.core.settings import merge
from lowland.measures import calibrated_subnet
from lowland.measures.noise.flatness import Flatness
from lowland.store.artifacts import supernet_digest
from lowland.workflow.session import Session

SIGMAS = {
    "{1e-6, 5e-6, 1e-5}": (1e-6, 5e-6, 1e-5),
    "{5e-4, 1e-3, 2e-3}": (5e-4, 1e-3, 2e-3),
    "{2e-3, 1e-2, 2e-2}": (2e-3, 1e-2, 2e-2),
    "{2e-3, 2e-2, 4e-2}": (2e-3, 2e-2, 4e-2),
}
"""The sets of noise levels of GeNAS, Table 5."""

OWN = set(Flatness.Config.model_fields)
"""Settings of flatness itself."""

MAIN = "{2e-3, 1e-2, 2e-2}"
CURVE = (0.0, 2e-3, 5e-3, 1e-2, 2e-2, 4e-2)
Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """What one visit to a genotype measures; kept under `name`."""

    name: str
    measure: Callable[[Session, Genotype], Row]
    genotypes: Sequence[Genotype]


@contextmanager
def timed(seconds: Row, name: str) -> Iterator[None]:
    began = perf_counter()
    yield
    seconds[name] = perf_counter() - began


def attempt(judge: Callable[[], Row]) -> Row:
    """What is measured, or why it cannot be (a loss that is not finite, an infinite flatness)."""
    try:
        return judge()
    except ValueError as error:
        return {"failed": str(error)}


def noise(session: Session, genotype: Genotype) -> Row:
    """Clean accuracy and loss, and the losses of every set of σ and of noise on search cells only."""
    config, seconds, found = session.config.measure, {}, {}
    settings = {name: {"sigmas": sigmas} for name, sigmas in SIGMAS.items()} | {"cells": {"position": "cells"}}
    began = perf_counter()
    with calibrated_subnet(session.supernet, genotype, session.context, config) as path:
        seconds["calibration"] = perf_counter() - began
        with timed(seconds, "clean"):
            found["clean"] = attempt(lambda: {"accuracy": path.clean.accuracy, "loss": path.clean.loss})
        for name, changes in settings.items():
            with timed(seconds, "flatness" if name == MAIN else name):
                found[name] = attempt(lambda changes=changes: flatness(path, flatness_config(config, **changes)))
    return found | {"seconds": seconds}


def flatness_config(config: MeasureConfig, **changes: Any) -> MeasureConfig:
    """Flatness as published, but for `changes` of its own settings or of those that measures share."""
    own = {"alpha": 1.0, "sigmas": SIGMAS[MAIN]} | {name: changes[name] for name in OWN & changes.keys()}
    shared = {name: value for name, value in changes.items() if name not in OWN}
    options = merge(config.options, {"flatness": own})
    return config.model_copy(update={"name": "flatness", "noise_images": None, "options": options} | shared)


def flatness(path: measures.Subnet, config: MeasureConfig) -> Row:
    estimate = measures.get(config).judge(path)  # type: ignore[attr-defined]  # flatness judges candidates
    return {"value": estimate.value, "losses": estimate.details["losses"]}


def angle(session: Session, genotype: Genotype) -> Row:
    seconds: Row = {}
    found: Row = {}
    for part in ("cells+fixed", "cells"):
        measure = measures.get(session.config.measure.model_copy(update={"name": f"angle(vector={part})"}))
        with timed(seconds, part):
            found[part] = measure.score(session.supernet, genotype, session.context).value
    return found | {"seconds": seconds}


def hessian(session: Session, genotype: Genotype) -> Row:
    """Flatness along the Hessian's top eigenvector, which moves the weights by σ (PyHessian)."""
    config, seconds = flatness_config(session.config.measure, direction="hessian"), {}
    with calibrated_subnet(session.supernet, genotype, session.context, config) as path, timed(seconds, "hessian"):
        found = attempt(lambda: flatness(path, config))
    return found | {"seconds": seconds}


def curve(session: Session, genotype: Genotype) -> Row:
    """Mean loss at every σ of `CURVE`, along one ray of noise."""
    with calibrated_subnet(session.supernet, genotype, session.context, session.config.measure) as path:
        return attempt(
            lambda: {"losses": [path.loss_at(sigma, 0).loss if sigma else path.clean.loss for sigma in CURVE]}
        )


def measured(session: Session, parts: Sequence[Part], work: Path, every: int) -> dict[str, Row]:
    """What every part measured on each of its genotypes, by genotype; kept in `work` every so many genotypes."""
    identity = {
        "format": 1,
        "supernet": supernet_digest(session.run),
        "measure": session.config.measure.model_dump(mode="json", exclude={"name"}),
        "seed": session.config.seed,
        "precision": session.compute.precision,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    path = work / f"losses-{digest}.json"
    kept = read(path) or {"identity": identity, "genotypes": {}}
    rows: dict[str, Row] = kept["genotypes"]
    for part in parts:
        left = [g for g in part.genotypes if part.name not in rows.get(str(g), {})]
        began, unsaved = perf_counter(), 0
        try:
            for done, genotype in enumerate(left, start=1):
                rows.setdefault(str(genotype), {})[part.name] = part.measure(session, genotype)
                unsaved += 1
                if unsaved == every:
                    write_json(path, kept)
                    unsaved = 0
                    rate = (perf_counter() - began) / done
                    print(f"{part.name:8s} {done:6,} of {len(left):,}, {rate:.2f} s each", flush=True)
        finally:
            if unsaved:
                write_json(path, kept)
    return rows
