"""One-shot search: paths of a trained supernet are scored with inherited weights, and kept in the archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lowland import measures as measuring
from lowland.core.amounts import millions, standing
from lowland.core.config import Config as RunConfig
from lowland.core.config import MeasureConfig
from lowland.measures.combined import parts_of
from lowland.measures.expression import combination
from lowland.search import Archive, Candidate, Evaluator, Scorer, SearchProblem, order, places
from lowland.search.aggregation import parts
from lowland.search.problem import Report
from lowland.search.racing import racing_images
from lowland.search.record import Ranked, SearchRecord
from lowland.search.strategies import strategy as strategies
from lowland.store.run import ARCHIVE
from lowland.workflow import shortlist as second_look
from lowland.workflow.identity import measure_identity
from lowland.workflow.renewal import renew
from lowland.workflow.requests import RacingMeasure, ScoreRequest
from lowland.workflow.scoring import scorers
from lowland.workflow.searchers.searcher import Searcher, register
from lowland.workflow.session import Session


@register
class OneShot(Searcher):
    """A strategy proposes candidates, a measure scores them with the supernet's weights, the archive keeps them.

    The best may then be ordered anew by a second measure (`search.shortlist`).
    """

    name = "one-shot"
    summary = "a supernet is trained; a strategy proposes its paths, which are scored with inherited weights"
    source = "SPOS (Guo et al., ECCV 2020)"
    supernet = True

    def require(self, config: RunConfig) -> None:
        """Raise ConfigError for a strategy, an objective or a measure that does not exist or cannot do its part."""
        strategy = strategies.chosen(config.search)
        strategies.require_lag(strategy, config.search)
        strategy.require(config)
        require_measure(config, strategy.measure(config.measure))
        if config.search.shortlist:
            require_measure(config, second_look.shortlist_measure(config))

    def search(self, session: Session) -> SearchRecord:
        """Score candidates on the search split and keep every one in the archive."""
        run, config, monitor = session.run, session.config, session.monitor
        strategy = strategies.chosen(config.search)
        measured = strategy.measure(config.measure)
        identity = measure_identity(session, measured)
        evaluated: list[Candidate] = []
        with Archive(run.path / ARCHIVE) as archive, scorers(session) as scorer:
            renew(archive, session, run.manifest.get("renewed", {}).get("precision"))
            places.keep(archive, [])  # those of an earlier search hold no longer
            evaluator = Evaluator(session.space, scorer(measured), archive, identity, session.cost)
            problem = SearchProblem(
                space=session.space,
                score=evaluator,
                cost=session.cost,
                seed=config.seed,
                max_params=config.search.max_params,
                max_macs=config.search.max_macs,
                sampling=config.search.sampling,
                measure=config.measure,
                combine=combination(config.measure),
                report=following(session, evaluated, summed=combination(measured) == "sum"),
                first_look=first_looks(session, archive, scorer),
                check=monitor.check,
                lag=config.search.lag,
                stream=evaluator.stream,
            )
            result = strategy.search(problem)
            evaluator.require_success()
            monitor.finish()
            final: list[Candidate] = list(result.ranking)
            shortlist: dict[str, Mapping[str, Any]] = {}
            if config.search.shortlist:
                final, shortlist = second_look.shortlisted(session, final, archive, scorer)
            failed = archive.where("measure = ? AND status = 'failed'", identity)
            places.keep(archive, places.finished(session.space, evaluated, final, failed))
        before = {each.key: place for place, each in enumerate(result.ranking, start=1)}
        ranking = [
            Ranked(
                genotype=each.genotype,
                parameters=each.parameters,
                macs=each.macs,
                value=each.value,
                standard_error=each.standard_error,
                details=each.details,
                place=before[each.key],
                shortlist=shortlist.get(each.key),
            )
            for each in final
        ]
        return SearchRecord(
            ranking=ranking,
            summary=result.summary,
            candidates=evaluated,
            measure=identity,
            combine=order.following(config),
            images=sum(len(labels_N) for _, labels_N in session.context.scored),
            facts=result.facts,
            files=[ARCHIVE],
        )


def require_measure(config: RunConfig, measure: MeasureConfig) -> None:
    """Raise ConfigError for a measure that does not exist or cannot judge the candidates of a run."""
    asked = config.model_copy(update={"measure": measure})
    for part in parts_of(measuring.get(measure)):
        part.require(asked)


def following(session: Session, evaluated: list[Candidate], *, summed: bool) -> Report:
    """A report that feeds the session's monitor, stops where it asks for a stop, and notes scored candidates."""
    monitor, space = session.monitor, session.space
    ordered = order.following(session.config) != "sum"
    began = False
    leader: Candidate | None = None
    among = 0

    def report(done: int, total: int, candidate: Candidate, best: Candidate | None) -> None:
        nonlocal began, leader, among
        if best is not leader:  # all that were scored before have been put in order anew
            leader, among = best, len(evaluated)
        if candidate.status == "scored":
            evaluated.append(candidate)
        if not began:
            monitor.start("search", total, "network", done - 1)
            began = True
        found: dict[str, Any] = {}
        if best is not None:
            found = {"best": standing(1, among) if ordered else best.value, "genotype": space.format(best.genotype)}
        text = space.format(candidate.genotype)
        scores = _scores(candidate, not ordered)
        monitor.advance(done, **found, candidate=text, **scores)
        size = f"{millions(candidate.parameters)} parameters, {millions(candidate.macs)} MACs"
        told = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
        monitor.detail(f"candidate {done} of {total}: {text}, {told or candidate.status}, {size}")
        if candidate.status == "failed":
            monitor.note(f"candidate {text} failed: {candidate.reason}")
        monitor.check()

    return report


def _scores(candidate: Candidate, summed: bool) -> dict[str, float]:
    """The score of a candidate; those of its parts where they are ranked, since their sum then orders nothing."""
    if candidate.value is None:
        return {}
    if summed:
        return {"score": candidate.value}
    return {f"score {label}": float(part["value"]) for label, part in parts(candidate.details).items()}


def first_looks(
    session: Session, archive: Archive, scorer: Callable[[ScoreRequest], Scorer]
) -> Callable[[float], Evaluator]:
    """Share of the scored images → who scores on them alone, under a measure identity of its own."""
    config = session.config

    def first_look(share: float) -> Evaluator:
        images = racing_images(share, session.scored_images)
        identity = measure_identity(session, config.measure, images)
        look = scorer(RacingMeasure(config.measure, images))
        return Evaluator(session.space, look, archive, identity, session.cost)

    return first_look
