"""Stage three: the best genotypes are trained and delivered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lowland.core.config import Config
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.seeds import derive
from lowland.core.threads import threads_of
from lowland.data import DataSet
from lowland.delivery import description
from lowland.delivery import network as export
from lowland.spaces import Shape
from lowland.spaces.values import AS_PUBLISHED
from lowland.store import inside
from lowland.store.artifacts import Ranked, Trained, network_folder
from lowland.store.manifest import INCOMING
from lowland.training import network as network_training
from lowland.training.loop import fit
from lowland.training.parallel import barrier
from lowland.workflow.rungs import Continued, begun, network_threads
from lowland.workflow.session import Session
from lowland.workflow.stages.early_references import early_references


def train_networks(session: Session) -> None:
    """Train the best genotypes and deliver them: the first in network/, others in networks/<rank>/.

    They are made in incoming/, so that those of an earlier training stay until all new ones are complete.
    """
    run, config, compute = session.run, session.config, session.compute
    chosen = session.ranking()[: config.retrain.top]
    if len(chosen) < config.retrain.top:
        session.monitor.note(f"the search ranked {len(chosen)} candidates, so {len(chosen)} networks are trained")
    shapes = [_shape(session, entry) for entry in chosen]
    threads = network_threads(config, session.data, compute, session.world.size)
    with early_references(session, Genotype(config.space, chosen[0].genes), shapes[0]) as monitor, threads_of(threads):
        for rank, (entry, shape) in enumerate(zip(chosen, shapes, strict=True), start=1):
            _train(session, rank, len(chosen), entry, shape, monitor)
    barrier(session.world)  # every rank has now seen what was there
    if session.world.main:
        run.exchange([network_folder(rank) for rank in range(1, len(chosen) + 1)])
        delivered = range(1, len(chosen) + 1)
        folders = [network_folder(rank) for rank in delivered]
        files = [f"{folder}/{file}" for folder in folders for file in export.files(run.path / folder)]
        Trained(networks={str(rank): description.facts(run.path / network_folder(rank)) for rank in delivered}).write(
            run
        )
        run.finish_stage("train", files, {"networks": len(delivered)})


def _shape(session: Session, entry: Ranked) -> Shape:
    """The size of a network: as set, in what a finalist does not decide."""
    shape = session.network_shape(Genotype(session.config.space, entry.genes))
    return shape if entry.shape is None else replace(shape, **{**AS_PUBLISHED, **entry.shape})


def _train(session: Session, rank: int, count: int, entry: Ranked, shape: Shape, monitor: Monitor) -> None:
    """Train the network of one rank of `count` and make its files, unless they are there."""
    run, config, compute = session.run, session.config, session.compute
    genotype, folder = Genotype(config.space, entry.genes), network_folder(rank)
    goes_on = entry.begun if begun(rank) in run.manifest["files"] else None
    task = training_task(config, shape, genotype, session.data, goes_on)
    incoming = f"{INCOMING}/{folder}"
    if session.world.main:
        inside.make_folder(run.path, incoming)
    places = [incoming] if run.superseded(folder) else [incoming, folder]
    if any(description.facts(run.path / place).get("task") == task for place in places):
        return  # trained before a stop, or before `--top` was raised
    body = network_training.build(genotype, shape, config.retrain, config.seed)
    if config.retrain.inherit:
        network_training.inherit_from(session.supernet, body, genotype)
    body = compute.prepare(body)
    job = network_training.job(genotype, body, config.retrain, session.data, compute, config.seed)
    history = fit(
        replace(job, title=f"{job.title} {rank} of {count}") if count > 1 else job,
        checkpoints=Continued(run, rank),
        checkpoint_seconds=config.compute.checkpoint_seconds,
        monitor=monitor,
        world=session.world,
    )
    if session.world.main:
        size = {"parameters": entry.parameters, "macs": entry.macs}
        facts = {"rank": rank, "score": entry.value, **size, "loss": history.loss, "task": task}
        export.save(run.path / incoming, body, genotype, shape, session.data, facts)
        run.drop_checkpoint(job.name)
    barrier(session.world)


def training_task(config: Config, shape: Shape, genotype: Genotype, data: DataSet, goes_on: int | None = None) -> str:
    """A digest of everything that decides a retrained network's weights; `goes_on`: steps it took in the rungs."""
    recipe = config.retrain.identity(exclude={"top", "recipe"})
    parts: tuple[Any, ...] = (recipe, shape, str(genotype), config.seed, data.fingerprint, config.compute.precision)
    parts += () if goes_on is None else (goes_on,)
    return f"{derive(config.seed, 'training task', *parts):016x}"
