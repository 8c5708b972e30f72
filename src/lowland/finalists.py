"""Finalists: the best of a search trained from scratch for a few epochs, and ordered by how well they then do.

Cheap scores tell good candidates from bad ones, but hardly the best of the good ones. What is trained here is judged on
the search split, which it has not learned from, and never on test images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lowland.config import Config, RetrainConfig
from lowland.scoring import Finalist, Question
from lowland.search import Archive, Candidate, Evaluator, Proposal, Scorer
from lowland.session import Session


def recipe(config: Config) -> RetrainConfig:
    """The retraining recipe, shortened to `search.finalist_epochs`, without the search split."""
    full, epochs = config.retrain, config.search.finalist_epochs
    short = {
        "epochs": epochs,
        "warmup_epochs": full.warmup_epochs * epochs / full.epochs,
        "include_search_split": False,
        "top": 1,
    }
    return full.model_copy(update=short)


def identity(session: Session) -> str:
    """What makes the scores of two finalists comparable."""
    config = session.config
    parts: dict[str, Any] = {
        "finalist": recipe(config).model_dump(mode="json"),
        "network": config.network.model_dump(mode="json"),
        "limits": [config.search.max_params, config.search.max_macs] if config.network.channels == "fit" else None,
        "images": len(session.data.search),
        "seed": config.seed,
        "precision": config.compute.precision,
    }
    if config.retrain.inherit:
        parts["supernet"] = session.run.manifest["files"]["supernet/trained.safetensors"]
    return json.dumps(parts, sort_keys=True)


def ordered(
    session: Session, ranking: Sequence[Candidate], archive: Archive, scorer: Callable[[Question], Scorer]
) -> tuple[list[Candidate], dict[str, Mapping[str, Any]]]:
    """The ranking with its first `search.finalists` in the order of their accuracy after a short training.

    Ties, and finalists whose training failed, which come last of them, stay in the order of the search.

    Returns:
        The new ranking; and by isomorphism key of a finalist its accuracy on the search split (in [0, 1]), standard
        error, images and epochs.

    Raises:
        InterruptedRun: the monitor asked for a stop; finalists trained so far are in the archive.
        LowlandError: no finalist could be trained.
    """
    monitor, first = session.monitor, list(ranking[: session.config.search.finalists])
    evaluator = Evaluator(
        session.space, scorer(Finalist(recipe(session.config))), archive, identity(session), session.cost
    )
    monitor.start("finalists", len(first), "network")
    accuracy: dict[str, float] = {}
    told: dict[str, Mapping[str, Any]] = {}
    for done, found in enumerate(
        evaluator([Proposal(each.genotype, each.generation, each.origin) for each in first]), start=1
    ):
        if found.status == "scored" and found.value is not None:
            accuracy[found.key] = found.value
            told[found.key] = {
                "accuracy": found.value,
                "standard_error": found.standard_error,
                "epochs": session.config.search.finalist_epochs,
                **found.details,
            }
        else:
            monitor.note(f"finalist {session.space.format(found.genotype)} failed: {found.reason}")
        monitor.advance(done)
        monitor.check()
    monitor.finish()
    evaluator.require_success()
    first.sort(key=lambda each: -accuracy.get(each.key, -math.inf))  # stable
    return [*first, *ranking[len(first) :]], told
