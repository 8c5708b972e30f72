"""Stage two: the searcher finds networks and puts them in order."""

from __future__ import annotations

from dataclasses import asdict

from lowland.core.errors import LowlandError
from lowland.search import Archive, places
from lowland.search.record import SearchRecord
from lowland.search.strategies import strategy as strategies
from lowland.store.artifacts import Ranked, Searched
from lowland.store.run import ARCHIVE
from lowland.workflow import searchers
from lowland.workflow.halving import halved
from lowland.workflow.session import Session

RANKED = 100
"""Candidates kept in search.json, so that more networks can be asked for later; the archive keeps all."""


def search_architectures(session: Session) -> None:
    """Let the searcher find networks, and keep what it found.

    Raises:
        LowlandError: it found none.
    """
    run, config = session.run, session.config
    found = searchers.chosen(config.search).search(session)
    if not found.ranking:
        raise LowlandError(
            f"search.searcher={config.search.searcher} found no network; change its settings or choose another"
        )
    if found.summary.note:
        session.monitor.note(found.summary.note)
    if config.search.finalists:
        found = halved(session, found)
        if found.measure is not None and ARCHIVE in found.files:
            with Archive(run.path / ARCHIVE) as archive:
                places.reorder(archive, found.ranking)
    artifact = searched(session, found)
    artifact.write(run)
    counts = {name: artifact.summary[name] for name in ("proposed", "failed", "raced_out")}
    run.finish_stage("search", found.files, counts)
    for name in found.checkpoints:
        run.drop_checkpoint(name)


def searched(session: Session, found: SearchRecord) -> Searched:
    """What is kept of a search."""
    most = max(RANKED, session.config.retrain.top)
    kept = ("generation", "origin", "parameters", "macs")
    strategy = strategies.chosen(session.config.search)
    return Searched(
        ranking=tuple(
            Ranked(
                genotype=session.space.format(each.genotype),
                genes=tuple(each.genotype.genes),
                parameters=each.parameters,
                macs=each.macs,
                value=each.value,
                standard_error=each.standard_error,
                details=each.details,
                place=rank if each.place is None and each.finalist is None else each.place,
                shortlist=each.shortlist,
                finalist=each.finalist,
                shape=each.shape,
            )
            for rank, each in enumerate(found.ranking[:most], start=1)
        ),
        # The archive may hold more: what an earlier search scored by the same measure.
        candidates=tuple(
            {"genes": list(each.genotype.genes)} | {name: getattr(each, name) for name in kept}
            for each in found.candidates
        ),
        summary=asdict(found.summary),
        measure=found.measure,
        images=found.images,
        pareto=found.facts,
        relaxed=found.relaxed,
        combine=found.combine,
        space_size=session.space.size,
        cells=tuple(asdict(graph) for graph in session.space.graphs(found.ranking[0].genotype)),
        objectives=strategy.objectives,
        scored_by=strategy.measure(session.config.measure).name,
    )
