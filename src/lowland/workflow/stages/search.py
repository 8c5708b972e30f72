"""Stage two: candidates are proposed, scored on the search split and put in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lowland.core.config import Config
from lowland.measures.combined import combination
from lowland.search import Archive, Candidate, Evaluator, Objectives, Racing, parse_objectives, search
from lowland.search.racing import racing_images
from lowland.store.artifacts import Ranked, Searched
from lowland.store.run import ARCHIVE
from lowland.workflow import finalists
from lowland.workflow.scoring import RacingMeasure, measure_identity, scorers
from lowland.workflow.session import Session

RANKED = 100
"""Candidates kept in search.json, so that more networks can be asked for later; the archive keeps all."""


def search_architectures(session: Session) -> None:
    """Score candidates on the search split and keep every one in the archive."""
    run, config, monitor = session.run, session.config, session.monitor
    began = False
    evaluated: list[Candidate] = []

    def report(done: int, total: int, candidate: Candidate, best: Candidate | None) -> None:
        nonlocal began
        if candidate.status == "scored":
            evaluated.append(candidate)
        if not began:
            monitor.start("search", total, "network", done - 1)
            began = True
        found = {"best": best.value, "genotype": session.space.format(best.genotype)} if best is not None else {}
        monitor.advance(done, **found)
        if candidate.status == "failed":
            monitor.note(f"candidate {session.space.format(candidate.genotype)} failed: {candidate.reason}")
        monitor.check()

    objectives = objectives_of(config)
    measured = config if objectives is None else config.model_copy(update={"measure": objectives.measure})
    identity = measure_identity(measured, session.supernet_digest)
    with Archive(run.path / ARCHIVE) as archive, scorers(session) as scorer:
        full = Evaluator(session.space, scorer(measured.measure), archive, identity, session.cost)
        evaluator: Evaluator | Racing = full
        if config.search.racing is not None:
            raced = racing_images(config.search.racing, session.scored_images)
            look = scorer(RacingMeasure(config.measure, raced))
            of_few = measure_identity(config, session.supernet_digest, raced)
            first = Evaluator(session.space, look, archive, of_few, session.cost)
            evaluator = Racing(first, full, config.search.parents, monitor.check)
        combine = combination(config.measure)
        result = search(session.space, config.search, config.seed, evaluator, report, objectives, combine)
        monitor.finish()
        order: list[Candidate] = list(result.ranking)
        shortlist: dict[str, Mapping[str, Any]] = {}
        if config.search.shortlist:
            order, shortlist = finalists.shortlisted(session, order, archive, scorer)
        finals: dict[str, Mapping[str, Any]] = {}
        if config.search.finalists:
            order, finals = finalists.ordered(session, order, archive, scorer)
    if result.summary.note:
        monitor.note(result.summary.note)
    ranking = tuple(
        Ranked(
            genotype=session.space.format(candidate.genotype),
            genes=tuple(candidate.genotype.genes),
            parameters=candidate.parameters,
            macs=candidate.macs,
            value=candidate.value,
            standard_error=candidate.standard_error,
            details=candidate.details,
            shortlist=shortlist.get(candidate.key),
            finalist=finals.get(candidate.key),
        )
        for candidate in order[: max(RANKED, config.retrain.top)]
        if candidate.value is not None
    )
    images = sum(len(labels_N) for _, labels_N in session.context.scored)
    summary = asdict(result.summary)
    # The archive may hold more: what an earlier search scored by the same measure.
    kept = ("generation", "origin", "parameters", "macs")
    rows = [{"genes": list(each.genotype.genes)} | {name: getattr(each, name) for name in kept} for each in evaluated]
    Searched(
        ranking=ranking,
        candidates=tuple(rows),
        summary=summary,
        measure=identity,
        images=images,
        pareto=result.facts,
    ).write(run)
    run.finish_stage("search", [ARCHIVE], {name: summary[name] for name in ("proposed", "failed", "raced_out")})


def objectives_of(config: Config) -> Objectives | None:
    """What the pareto strategy trades off; None for the other strategies. Raises ConfigError for a wrong one."""
    if config.search.strategy != "pareto":
        return None
    return parse_objectives(config.search.objectives, config.measure)
