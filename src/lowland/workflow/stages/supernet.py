"""Stage one: the one-shot supernet."""

from __future__ import annotations

from lowland.store.artifacts import HISTORY, INITIAL, TRAINED
from lowland.training import supernet as supernet_training
from lowland.training.loop import fit
from lowland.workflow import searchers
from lowland.workflow.session import Session


def train_supernet(session: Session) -> None:
    """Train the one-shot supernet, where the searcher needs one; keep its weights before and after."""
    run, config = session.run, session.config
    searcher = searchers.chosen(config.search)
    if not searcher.supernet:
        if session.world.main:
            run.finish_stage("supernet", [], {"skipped": f"search.searcher={searcher.name} trains none"})
        return
    compute = session.compute
    if config.supernet.pretrained is not None and INITIAL in run.manifest["files"]:
        # Begun before a stop: the file of learned weights was read then, and need not be there any more.
        supernet = supernet_training.built(config, session.data)
        supernet.load_state_dict(run.load_tensors(INITIAL)[0])
    else:
        supernet = supernet_training.initial(config, session.data)
    supernet = compute.prepare(supernet)
    if session.world.main:
        run.save_tensors(INITIAL, supernet.state_dict())
    history = fit(
        supernet_training.job(config, session.data, supernet, compute),
        checkpoints=run,
        checkpoint_seconds=config.compute.checkpoint_seconds,
        monitor=session.monitor,
        world=session.world,
    )
    if not session.world.main:
        return
    run.save_tensors(TRAINED, supernet.state_dict())
    facts = {
        "loss": history.loss,
        "images_per_second": history.images_per_second,
        "parameters": sum(p.numel() for p in supernet.parameters()),
    }
    run.write_json(HISTORY, facts)
    run.finish_stage("supernet", [], {"images_per_second": history.images_per_second})
    run.drop_checkpoint("supernet")
