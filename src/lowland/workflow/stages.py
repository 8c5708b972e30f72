"""The stages of a run: supernet, search, train, evaluate, report. Each reads and writes only the run directory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, replace
from typing import Any

from torch import nn

from lowland.core.config import Config
from lowland.core.device import Compute, environment
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import derive
from lowland.data import (
    STANDARD,
    CorruptedFolder,
    CorruptedImages,
    DataSet,
    Generated,
    cache_folder,
    check_names,
    order,
)
from lowland.delivery import network as export
from lowland.evaluation import classification, corruption_accuracy, loss_curve, predict
from lowland.measures import calibrated_subnet
from lowland.measures.combined import combination
from lowland.measures.landscape import ImageResults, evaluator, loss_under_noise
from lowland.report import write
from lowland.report.gather import gather
from lowland.search import Archive, Candidate, Evaluator, Limits, Objectives, Racing, parse_objectives, search
from lowland.search.racing import racing_images
from lowland.spaces import Shape
from lowland.store.run import ARCHIVE
from lowland.training import network as network_training
from lowland.training import supernet as supernet_training
from lowland.training.loop import fit
from lowland.training.parallel import barrier
from lowland.workflow import finalists
from lowland.workflow.scoring import RacingMeasure, measure_identity, scorers
from lowland.workflow.session import Session

RANKED = 100
"""Candidates kept in search.json, so that more networks can be asked for later; the archive keeps all."""


def train_supernet(session: Session) -> None:
    """Train the one-shot supernet; keep its weights before and after."""
    run, config, compute = session.run, session.config, session.compute
    supernet = compute.prepare(supernet_training.initial(config, session.data))
    if session.world.main:
        run.save_tensors("supernet/initial.safetensors", supernet.state_dict())
    history = fit(
        supernet_training.job(config, session.data, supernet, compute),
        checkpoints=run,
        checkpoint_seconds=config.compute.checkpoint_seconds,
        monitor=session.monitor,
        world=session.world,
    )
    if not session.world.main:
        return
    run.save_tensors("supernet/trained.safetensors", supernet.state_dict())
    facts = {
        "loss": history.loss,
        "images_per_second": history.images_per_second,
        "parameters": sum(p.numel() for p in supernet.parameters()),
    }
    run.write_json("supernet/history.json", facts)
    run.finish_stage("supernet", [], {"images_per_second": history.images_per_second})
    run.drop_checkpoint("supernet")


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
    ranking = [
        {
            "genotype": session.space.format(candidate.genotype),
            "genes": list(candidate.genotype.genes),
            "parameters": candidate.parameters,
            "macs": candidate.macs,
            "value": candidate.value,
            "standard_error": candidate.standard_error,
            "details": candidate.details,
            "shortlist": shortlist.get(candidate.key),
            "finalist": finals.get(candidate.key),
        }
        for candidate in order[: max(RANKED, config.retrain.top)]
    ]
    images = sum(len(labels_N) for _, labels_N in session.context.scored)
    summary = asdict(result.summary)
    # The archive may hold more: what an earlier search scored by the same measure.
    kept = ("generation", "origin", "parameters", "macs")
    rows = [{"genes": list(each.genotype.genes)} | {name: getattr(each, name) for name in kept} for each in evaluated]
    found = {
        "ranking": ranking,
        "candidates": rows,
        "summary": summary,
        "measure": identity,
        "images": images,
        "pareto": result.facts,
    }
    run.write_json("search.json", found)
    run.finish_stage("search", [ARCHIVE], {name: summary[name] for name in ("proposed", "failed", "raced_out")})


def objectives_of(config: Config) -> Objectives | None:
    """What the pareto strategy trades off; None for the other strategies. Raises ConfigError for a wrong one."""
    if config.search.strategy != "pareto":
        return None
    return parse_objectives(config.search.objectives, config.measure)


def train_networks(session: Session) -> None:
    """Train the best genotypes and deliver them: the first in network/, others in networks/<rank>/."""
    run, config, compute = session.run, session.config, session.compute
    files: list[str] = []
    chosen = session.ranking()[: config.retrain.top]
    if len(chosen) < config.retrain.top:
        session.monitor.note(f"the search ranked {len(chosen)} candidates, so {len(chosen)} networks are trained")
    for rank, entry in enumerate(chosen, start=1):
        genotype = Genotype(config.space, tuple(entry["genes"]))
        folder = network_folder(rank)
        files += [f"{folder}/network.safetensors", f"{folder}/network.json"]
        shape = session.network_shape(genotype)
        task = training_task(config, shape, genotype, session.data)
        if export.facts(run.path / folder).get("task") == task:
            continue  # trained before a stop, or before `--top` was raised
        body = network_training.build(genotype, shape, config.retrain, config.seed)
        if config.retrain.inherit:
            network_training.inherit_from(session.supernet, body, genotype)
        body = compute.prepare(body)
        job = network_training.job(genotype, body, config.retrain, session.data, compute, config.seed)
        history = fit(
            job,
            checkpoints=run,
            checkpoint_seconds=config.compute.checkpoint_seconds,
            monitor=session.monitor,
            world=session.world,
        )
        if session.world.main:
            facts = {"rank": rank, "score": entry["value"], "loss": history.loss, "task": task}
            export.save(run.path / folder, body, genotype, shape, session.data, facts)
            run.drop_checkpoint(job.name)
        barrier(session.world)
    if session.world.main:
        delivered = range(1, len(files) // 2 + 1)
        run.write_json(
            "training.json", {str(rank): export.facts(run.path / network_folder(rank)) for rank in delivered}
        )
        run.finish_stage("train", files, {"networks": len(delivered)})


def training_task(config: Config, shape: Shape, genotype: Genotype, data: DataSet) -> str:
    """A digest of everything that decides a retrained network's weights."""
    recipe = config.retrain.identity(exclude={"top", "recipe"})
    parts = (recipe, shape, str(genotype), config.seed, data.fingerprint, config.compute.precision)
    return f"{derive(config.seed, 'training task', *parts):016x}"


def network_folder(rank: int) -> str:
    """Where the network of a rank is delivered, relative to the run directory."""
    return "network" if rank == 1 else f"networks/{rank}"


def evaluate_networks(session: Session) -> None:
    """Judge the delivered networks, as loaded from disk and in fp32, on test images; draw the loss curves."""
    run, config, data = session.run, session.config, session.data
    # As a person runs it after `lowland.load`: another memory format would round differently.
    judge = replace(session.compute, autocast_dtype=None, channels_last=False)
    ranking = session.ranking()[: config.retrain.top]
    models: dict[str, nn.Module] = {
        str(rank): judge.prepare(export.load(run.path / network_folder(rank)).body).eval()
        for rank in range(1, len(ranking) + 1)
    }
    settings = config.evaluate
    results: dict[str, Any] = {}
    for rank, model in models.items():
        logits_NK, labels_N = predict(model, data.test, data.normalise, judge, settings.batch_size)
        results[rank] = {"test": classification(logits_NK, labels_N)}
    names = corruption_names(settings.corruptions)
    if names:
        # Many more images than above, and judged once: in the run's memory format, which may be twice as fast.
        fast = replace(session.compute, autocast_dtype=None)
        with progressing(session.monitor, "corruptions", "batch") as progress:
            shift = corruption_accuracy(
                {rank: fast.prepare(deepcopy(model)) for rank, model in models.items()},
                corrupted_images(config, data),
                data.normalise,
                fast,
                names=names,
                severities=settings.severities,
                limit=settings.corruption_images,
                batch_size=settings.batch_size,
                progress=progress,
            )
        for rank, values in shift.items():
            results[rank]["shift"] = values
    curves = loss_curves(session, models["1"], judge)
    facts = environment(session.compute)
    run.write_json("evaluation.json", {"networks": results, "curves": curves, "environment": facts})
    run.finish_stage("evaluate", [], {})


def corruption_names(setting: Sequence[str] | str) -> list[str]:
    """The corruptions asked for, `all` being the fifteen standard ones; raises ConfigError for an unknown one."""
    if setting == "none":
        return []
    names = list(STANDARD) if setting == "all" else list(dict.fromkeys(setting))
    check_names(names, "evaluate.corruptions: ")
    return names


def corrupted_images(config: Config, data: DataSet) -> CorruptedImages:
    """The folder `evaluate.corrupted`, or else the data set's test images, to be corrupted; DataError if unfit."""
    settings = config.evaluate
    if settings.corrupted is not None:
        return CorruptedFolder(settings.corrupted, corruption_names(settings.corruptions), data)
    return Generated(data, config.seed, cache=cache_folder() if settings.cache_corruptions else None)


def loss_curves(session: Session, winner: nn.Module, judge: Compute) -> list[dict[str, Any]]:
    """Loss against σ: winner and random genotypes with inherited weights, and the retrained winner (Fig. 2 and 3).

    On the search split, never on test images. (The retrained network may have learned from that split too; its curve
    shows the shape of the minimum, not generalisation.)
    """
    settings, config, monitor = session.config.evaluate, session.config, session.monitor
    scored = order(len(session.data.search), seed=config.seed, keys=("loss curve images",))[: settings.curve_images]
    images, batch_size = len(scored), config.measure.batch_size
    context = replace(session.context, scored=session.placed(session.data.search, scored, batch_size))
    entries = [("winner", Genotype(config.space, tuple(session.ranking()[0]["genes"])))]
    entries += [("random", genotype) for genotype in random_genotypes(session, settings.random_genotypes)]
    curves: list[dict[str, Any]] = []
    monitor.start("loss curves", len(entries) + 1, "network")

    def keep(kind: str, genotype: Genotype, loss_at: Callable[[float, int], ImageResults]) -> None:
        curve = loss_curve(lambda sigma, draw: loss_at(sigma, draw).loss, settings.curve_sigmas, settings.curve_draws)
        curves.append(curve | {"kind": kind, "label": session.space.format(genotype), "images": images})
        monitor.advance(len(curves))
        monitor.check()

    for kind, genotype in entries:
        with calibrated_subnet(session.supernet, genotype, context, config.measure) as path:
            keep(kind, genotype, path.loss_at)
    evaluate = evaluator(winner, context.scored, judge)
    parameters = dict(winner.named_parameters())
    keep("retrained", entries[0][1], lambda s, draw: loss_under_noise(evaluate, parameters, s, draw, config.seed))
    monitor.finish()
    return curves


def random_genotypes(session: Session, number: int) -> list[Genotype]:
    """Distinct uniform random genotypes within the limits; fewer where the limits leave fewer."""
    limits = Limits(session.space, session.config.search, session.cost, session.config.seed)
    found: dict[str, Genotype] = {}

    def accept(genotype: Genotype) -> bool:
        return session.space.key(genotype) not in found and limits.allow(genotype)

    for index in range(number):
        genotype = limits.sample(accept, found.keys(), "loss curves", index)
        if genotype is None:
            break
        found[session.space.key(genotype)] = genotype
    return list(found.values())


def write_report(session: Session) -> None:
    """Make report.html from what the run directory holds."""
    write(gather(session.run), session.run.path / "report.html")
    if session.run.stage_done("evaluate"):
        session.run.finish_stage("report", ["report.html"], {})


@contextmanager
def progressing(monitor: Monitor, stage: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """A (done, total) callback that feeds the monitor and stops where it asks for a stop."""
    began = False

    def progress(done: int, total: int) -> None:
        nonlocal began
        if not began:
            monitor.start(stage, total, unit)
            began = True
        monitor.advance(done)
        monitor.check()

    yield progress
    monitor.finish()


STAGE: dict[str, Callable[[Session], None]] = {
    "supernet": train_supernet,
    "search": search_architectures,
    "train": train_networks,
    "evaluate": evaluate_networks,
    "report": write_report,
}
