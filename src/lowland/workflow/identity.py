"""Identities: what makes two scores comparable, as the archive keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lowland import measures as measuring
from lowland.core.config import MeasureConfig
from lowland.workflow.session import Session


def measure_identity(session: Session, measure: MeasureConfig, raced: int | None = None) -> str:
    """Identify comparable scores by the measure's settings, the supernet's weights, the seed and the precision.

    The precision is what the arithmetic really runs in, whatever `compute.precision` leaves to the machine. Where
    candidates are fine-tuned, the recipe counts too; of a first look, how many images it takes (`raced`). The data need
    no part of their own: they decide the weights. How a sum's parts are combined is none either: an archive keeps them.

    Returns:
        A text that is the same for scores that compare.
    """
    config = session.config
    facts: dict[str, Any] = {
        "supernet": session.supernet_digest,
        "seed": config.seed,
        "precision": session.compute.precision,
    }
    if config.finetune.epochs:
        facts["finetune"] = config.finetune.identity()
    if raced is not None:
        facts["raced"] = raced
    return identity_text(measure, facts)


def identity_text(measure: MeasureConfig, facts: Mapping[str, Any]) -> str:
    """The identity of a measure's scores, as an archive keeps it, with what decides them besides its settings."""
    return json.dumps({"measure": measuring.get(measure).identity(), **facts}, sort_keys=True)
