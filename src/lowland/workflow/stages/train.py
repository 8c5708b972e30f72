"""Stage three: the best genotypes are trained and delivered."""

from __future__ import annotations

from lowland.core.config import Config
from lowland.core.genotype import Genotype
from lowland.core.seeds import derive
from lowland.data import DataSet
from lowland.delivery import network as export
from lowland.spaces import Shape
from lowland.store import inside
from lowland.store.artifacts import Trained, network_folder
from lowland.training import network as network_training
from lowland.training.loop import fit
from lowland.training.parallel import barrier
from lowland.workflow.session import Session


def train_networks(session: Session) -> None:
    """Train the best genotypes and deliver them: the first in network/, others in networks/<rank>/."""
    run, config, compute = session.run, session.config, session.compute
    files: list[str] = []
    chosen = session.ranking()[: config.retrain.top]
    if len(chosen) < config.retrain.top:
        session.monitor.note(f"the search ranked {len(chosen)} candidates, so {len(chosen)} networks are trained")
    for rank, entry in enumerate(chosen, start=1):
        genotype = Genotype(config.space, entry.genes)
        folder = network_folder(rank)
        files += [f"{folder}/{file}" for file in export.FILES]
        shape = session.network_shape(genotype)
        task = training_task(config, shape, genotype, session.data)
        if session.world.main:
            inside.make_folder(run.path, folder)
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
            facts = {"rank": rank, "score": entry.value, "loss": history.loss, "task": task}
            export.save(run.path / folder, body, genotype, shape, session.data, facts)
            run.drop_checkpoint(job.name)
        barrier(session.world)
    if session.world.main:
        delivered = range(1, len(chosen) + 1)
        Trained(networks={str(rank): export.facts(run.path / network_folder(rank)) for rank in delivered}).write(run)
        run.finish_stage("train", files, {"networks": len(delivered)})


def training_task(config: Config, shape: Shape, genotype: Genotype, data: DataSet) -> str:
    """A digest of everything that decides a retrained network's weights."""
    recipe = config.retrain.identity(exclude={"top", "recipe"})
    parts = (recipe, shape, str(genotype), config.seed, data.fingerprint, config.compute.precision)
    return f"{derive(config.seed, 'training task', *parts):016x}"
