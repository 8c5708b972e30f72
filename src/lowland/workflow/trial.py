"""The terms on which a run's delivered network meets references: its own recipe, images, seed and corruptions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.data import DataSet
from lowland.delivery import network as delivery
from lowland.delivery.network import Network
from lowland.evaluation.pool import EvaluationPool
from lowland.evaluation.references import Trial
from lowland.evaluation.shift.suite import Corruptions, corruption_names
from lowland.evaluation.suite import suite
from lowland.evaluation.terms import ShiftedImages, Terms
from lowland.store import inside
from lowland.store.artifacts import network_folder
from lowland.workflow.rungs import reference_threads
from lowland.workflow.session import Session


def trial(
    session: Session,
    folder: Path,
    *,
    corruptions: bool,
    pool: EvaluationPool | None = None,
    to_come: Network | None = None,
    judged: Callable[[str, int], str | None] | None = None,
) -> Trial:
    """The delivered network and its terms, with what is found kept in `folder`.

    Args:
        session: The run.
        folder: Where.
        corruptions: Whether networks are judged under corruption, too.
        pool: Where trainings go on side by side; None: here, one after the other.
        to_come: The delivered network as it is before it is trained, where trainings of others are to begin and
            nothing is judged yet; None: as it lies in the run.
        judged: What the run has found of the delivered network under corruption (`ShiftedImages.delivered`).

    Returns:
        What a comparison needs.

    Raises:
        ConfigError: the network began with the supernet's weights, as no reference can.
        RunError: the network is damaged.
        DataError: the data set is another one than the run's.
    """
    run, config = session.run, session.config
    if config.retrain.inherit:
        raise ConfigError(
            f"the network of {run.path} began with the supernet's weights (retrain.inherit), which no reference can; "
            f"train it from scratch first: `lowland train {run.path} --set retrain.inherit=false`"
        )
    if folder.is_relative_to(run.path):
        inside.require_no_links(run.path, folder.relative_to(run.path).as_posix())
    place = network_folder(1)
    return Trial(
        delivered=to_come or delivery.load(run.path / place),
        digest="" if to_come else run.manifest["files"][f"{place}/network.safetensors"],
        seconds=run.manifest["stages"]["train"]["seconds"] if config.retrain.top == 1 else None,
        folder=folder,
        cells=config.network.cells,
        terms=Terms(
            recipe=config.retrain,
            data=session.data,
            compute=session.compute,
            seed=config.seed,
            batch_size=config.evaluate.batch_size,
            shifted=shifted(config, session.data, judged) if corruptions and to_come is None else None,
            checkpoint_seconds=config.compute.checkpoint_seconds,
            monitor=session.monitor,
            threads=reference_threads(config, session.compute),
            pool=pool,
        ),
    )


def shifted(
    config: Config, data: DataSet, judged: Callable[[str, int], str | None] | None = None
) -> ShiftedImages | None:
    """The corrupted test images on which the run judges its networks; None where it judges on none."""
    settings = suite(config, Corruptions.name).config
    names = corruption_names(settings.names)
    if not names:
        return None
    return ShiftedImages(
        images=Corruptions(settings).corrupted(data, config.seed),
        names=tuple(names),
        severities=settings.severities,
        limit=settings.images,
        source=f"{config.seed} {settings.folder or ''}",
        delivered=judged,
    )
