"""The shortlist: the best of a search ordered anew by a second measure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lowland.core.config import Config, MeasureConfig
from lowland.measures.expression import combination
from lowland.search import Archive, Candidate, Evaluator, Proposal, Scorer
from lowland.search.aggregation import aggregated
from lowland.workflow.identity import measure_identity
from lowland.workflow.requests import ScoreRequest
from lowland.workflow.session import Session


def shortlisted(
    session: Session, ranking: Sequence[Candidate], archive: Archive, scorer: Callable[[ScoreRequest], Scorer]
) -> tuple[list[Candidate], dict[str, Mapping[str, Any]]]:
    """The ranking with its first `search.shortlist` in the order of `search.shortlist_measure`.

    Ties, and candidates that it cannot score, which come last of them, stay in the order of the search.

    Returns:
        The new ranking; and by isomorphism key of a candidate on the shortlist its value and standard error.

    Raises:
        InterruptedRun: the monitor asked for a stop; what was scored so far is in the archive.
        LowlandError: no candidate could be scored.
    """
    config = session.config
    measure = shortlist_measure(config)
    name = measure_identity(session, measure)
    first = list(ranking[: config.search.shortlist])
    evaluator = Evaluator(session.space, scorer(measure), archive, name, session.cost)
    found = evaluated(evaluator, first, "shortlist", session)
    combine = combination(measure)
    judged = found if combine == "sum" else aggregated(found, combine)
    values = {each.key: each.value for each in judged if each.value is not None}
    facts: dict[str, Mapping[str, Any]] = {
        each.key: {"measure": measure.name, "value": each.value, "standard_error": each.standard_error}
        for each in judged
    }
    first.sort(key=lambda each: -values.get(each.key, -math.inf))  # stable
    return [*first, *ranking[len(first) :]], facts


def shortlist_measure(config: Config) -> MeasureConfig:
    """The measure that orders the shortlist, with the settings of `measure` where it has none of its own."""
    return config.measure.model_copy(update={"name": config.search.shortlist_measure})


def evaluated(evaluator: Evaluator, first: Sequence[Candidate], stage: str, session: Session) -> list[Candidate]:
    """The scored ones of the first candidates; raises as `shortlisted` does."""
    monitor = session.monitor
    monitor.start(stage, len(first), "network")
    found = []
    proposals = [Proposal(each.genotype, each.generation, each.origin) for each in first]
    for done, each in enumerate(evaluator(proposals), start=1):
        if each.status == "scored" and each.value is not None:
            found.append(each)
        else:
            monitor.note(f"{stage}: {session.space.format(each.genotype)} failed: {each.reason}")
        monitor.advance(done)
        monitor.check()
    monitor.finish()
    evaluator.require_success()
    return found
