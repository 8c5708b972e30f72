"""The scores of genotypes under one measure: durable, found again, and combined over supernets or measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lowland.core.config import MeasureConfig
from lowland.core.genotype import Genotype
from lowland.evaluation.ranking import statistics as ranking
from lowland.evaluation.ranking.statistics import Array
from lowland.measures.expression import combination
from lowland.search import Archive, Candidate, Evaluator, Proposal, Scorer
from lowland.search.aggregation import aggregated
from lowland.workflow.identity import measure_identity
from lowland.workflow.ranking.request import LEAST
from lowland.workflow.session import Session


def scores(
    name: str,
    genotypes: Sequence[Genotype],
    truth_N: Array,
    session: Session,
    archive: Archive,
    scorer: Callable[[MeasureConfig], Scorer],
) -> list[Candidate]:
    """The candidate of every genotype under one measure, scored now or before; τ-b so far is told on the way."""
    monitor, config = session.monitor, session.config
    own = config.measure.model_copy(update={"name": name})
    identity = measure_identity(session, own)
    keys = [session.space.key(genotype) for genotype in genotypes]
    known = {key for key in keys if archive.get(identity, key) is not None}
    monitor.start(name, len(set(keys)), "network", len(known))
    found: list[Candidate] = []
    values_N = np.full(len(genotypes), np.nan)
    evaluator = Evaluator(session.space, scorer(own), archive, identity, session.cost)
    proposals = [Proposal(genotype, 0, "sample") for genotype in genotypes]
    for index, (candidate, key) in enumerate(zip(evaluator(proposals), keys, strict=True)):
        found.append(candidate)
        values_N[index] = np.nan if candidate.value is None else candidate.value
        if candidate.status == "failed":
            monitor.note(f"{name}: {session.space.format(candidate.genotype)} failed: {candidate.reason}")
        if key in known:
            continue
        known.add(key)
        tau = ranking.agreement(values_N, truth_N) if index + 1 >= LEAST else None
        monitor.advance(len(known), **({"tau": tau} if tau is not None else {}))
        monitor.check()
    evaluator.require_success()
    monitor.finish()
    return found


def summed(parts: Sequence[Array], combine: Callable[[Sequence[Array]], Array]) -> Array:
    """The parts combined, over the genotypes that all of them scored; NaN elsewhere."""
    there = ~np.isnan(parts).any(axis=0)
    total = np.full(len(parts[0]), np.nan)
    if there.any():
        total[there] = combine([part[there] for part in parts])
    return total


def valued(candidates: Sequence[Candidate], measure: MeasureConfig) -> Array:
    """The values of candidates, NaN where one failed; of a sum combined by ranks, those among these candidates."""
    combine = combination(measure)
    if combine != "sum":
        ranked = aggregated([candidate for candidate in candidates if candidate.status == "scored"], combine)
        by_key = {candidate.key: candidate for candidate in ranked}
        candidates = [by_key.get(candidate.key, candidate) for candidate in candidates]
    return np.array([np.nan if candidate.value is None else candidate.value for candidate in candidates])
