"""The networks of all searches with the weights of one supernet that none of them saw, by the ordinary measures."""

from __future__ import annotations

from collections.abc import Sequence

from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.evaluation.search_comparison import Judged
from lowland.search import Archive, Evaluator, Proposal
from lowland.search.aggregation import parts
from lowland.store.run import Run
from lowland.workflow.identity import measure_identity
from lowland.workflow.scoring import scorers
from lowland.workflow.search_comparison.configurations import JUDGES
from lowland.workflow.session import Session


def judged(opened: Run, genotypes: Sequence[Genotype], out: Archive, monitor: Monitor) -> dict[str, Judged]:
    """Score genotypes that were not scored yet.

    Args:
        opened: The run whose supernet has the weights; read only.
        genotypes: In any order, perhaps several times.
        out: Where scores are kept.
        monitor: Hears how it goes, and asks for a stop.

    Returns:
        By the space's key; a genotype whose score failed is left out.

    Raises:
        InterruptedRun: the monitor asked for a stop.
    """
    session = Session(opened, monitor)
    measure = opened.config.measure
    found: dict[str, Judged] = {}
    distinct = {session.space.key(genotype): genotype for genotype in genotypes}
    with scorers(session) as scorer:
        identity = measure_identity(session, measure)
        evaluator = Evaluator(session.space, scorer(measure), out, identity, session.cost)
        monitor.start("judging", len(distinct), "network")
        for number, candidate in enumerate(evaluator([Proposal(each, 0, "found") for each in distinct.values()]), 1):
            if candidate.status == "failed":
                text = session.space.format(candidate.genotype)
                monitor.note(f"{text} cannot be judged in the common supernet: {candidate.reason}")
            else:
                accuracy, loss, flatness = (parts(candidate.details)[name] for name in JUDGES)
                found[candidate.key] = Judged(
                    accuracy=accuracy["value"],
                    loss=-loss["value"],
                    flatness=flatness["value"],
                    flatness_error=flatness["standard_error"],
                )
            monitor.advance(number)
            monitor.check()
        monitor.finish()
    return found
