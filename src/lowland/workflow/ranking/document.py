"""rank.json: scores, statistics, settings and environment of a ranking in one document."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy

from lowland._version import __version__
from lowland.core.device import environment
from lowland.evaluation.ranking import statistics as ranking
from lowland.evaluation.ranking.statistics import Array
from lowland.evaluation.ranking.truth import Truth
from lowland.measures.aggregation import rank_sum
from lowland.search import Archive, Candidate
from lowland.store.manifest import ARCHIVE, now
from lowland.workflow.measuring import IMAGES
from lowland.workflow.ranking.request import SUMS, RankingRequest
from lowland.workflow.ranking.scores import scores, summed, valued
from lowland.workflow.ranking.statistics import Statistics
from lowland.workflow.renewal import recorded_precision, renew
from lowland.workflow.scoring import scorers
from lowland.workflow.session import Session

RESULT = "rank.json"

FORMAT = 2
"""Version of the layout of rank.json."""


def judged(
    request: RankingRequest, truth: Truth, chosen: list[int], sessions: Sequence[Session], out: Path
) -> dict[str, Any]:
    """Score the chosen genotypes and put together what rank.json holds."""
    session = sessions[0]
    genotypes = [truth.genotypes[place] for place in chosen]
    columns = {name: values[chosen] for name, values in truth.columns.items()}
    scored: dict[str, list[list[Candidate]]] = {name: [] for name in request.scored}
    with Archive(out / ARCHIVE) as archive:
        for each in sessions:
            renew(archive, each, recorded_precision(out / RESULT))
            with scorers(each, count_images=True) as scorer:
                for name, found in scored.items():
                    found.append(scores(name, genotypes, next(iter(columns.values())), each, archive, scorer))
    apart = {
        name: [valued(found, session.config.measure.model_copy(update={"name": name})) for found in candidates]
        for name, candidates in scored.items()
    }
    values = {name: arrays[0] if len(arrays) == 1 else summed(arrays, rank_sum) for name, arrays in apart.items()}
    kinds = dict.fromkeys(values, "measure")
    for kind, sums in request.sums.items():
        for parts in sums:
            name = f"{kind} of {', '.join(parts)}"
            values[name] = summed([values[part] for part in parts], SUMS[kind])
            kinds[name] = kind
    session.monitor.start("statistics", len(values), "measure")
    statistics = Statistics(values, columns, request)
    rows = []
    for index, name in enumerate(values, start=1):
        facts = row(name, kinds[name], values[name], scored.get(name, []), statistics)
        if len(apart.get(name, [])) > 1:
            facts["alone"] = {
                column: [ranking.agreement(array, true_N) for array in apart[name]]
                for column, true_N in columns.items()
            }
        rows.append(facts)
        session.monitor.advance(index)
        session.monitor.check()
    session.monitor.finish()
    config, manifest = session.config, session.run.manifest
    return {
        "format": FORMAT,
        "created": now(),
        "truth": {
            "file": str(truth.path),
            "sha256": truth.digest,
            "columns": list(columns),
            "architectures": len(truth.genotypes),
            "classes": len(set(truth.classes)),
            "skipped": truth.skipped,
        },
        "settings": {
            "sample": len(genotypes),
            "sample_seed": request.sample_seed,
            "resamples": request.resamples,
            "confidence": ranking.CONFIDENCE,
            "top": ranking.TOP,
            "config": config.model_dump(mode="json"),
        },
        "data": manifest.get("data", {}),
        "supernets": [trained(each) for each in sessions],
        "environment": environment(session.compute) | {"scipy": scipy.__version__},
        "lowland": __version__,
        "measures": rows,
        "references": statistics.references(),
        "agreement": [[ranking.agreement(first, second) for second in values.values()] for first in values.values()],
        "differences": statistics.differences(),
        "genotypes": [
            {
                "genotype": session.space.format(genotype),
                "genes": list(genotype.genes),
                "truth": {name: float(column[index]) for name, column in columns.items()},
                "scores": {name: number(array[index]) for name, array in values.items()},
            }
            for index, genotype in enumerate(genotypes)
        ],
    }


def trained(session: Session) -> dict[str, Any]:
    """What rank.json says of a supernet."""
    manifest, config = session.run.manifest, session.config
    stage = manifest["stages"]["supernet"]
    return {
        "run": str(session.run.path),
        "sha256": session.supernet_digest,
        "seed": config.seed,
        "epochs": config.supernet.epochs,
        "seconds": stage["seconds"],
        "images_per_second": stage["facts"]["images_per_second"],
    }


def row(
    name: str, kind: str, values_N: Array, candidates: Sequence[Sequence[Candidate]], statistics: Statistics
) -> dict[str, Any]:
    """What rank.json says of one measure; seconds and images are means per candidate, summed over supernets."""
    scored = [[c for c in found if c.status == "scored"] for found in candidates]
    return {
        "name": name,
        "kind": kind,
        "scored": int((~np.isnan(values_N)).sum()),
        "failed": int(np.isnan(values_N).sum()),
        "seconds": sum(float(np.mean([c.seconds for c in found])) for found in scored) if scored else None,
        "images": sum(float(np.mean([c.details[IMAGES] for c in found])) for found in scored) if scored else None,
        "truth": {
            column: ranking.as_facts(found)
            for column in statistics.columns
            if (found := statistics.of(name, column)) is not None
        },
    }


def number(value: float) -> float | None:
    """A score as JSON: None where there is none."""
    return None if np.isnan(value) else float(value)
