"""What a genotype of a run is worth: requests are answered with one session's supernet and images, in any process."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lowland import measures as measuring
from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.core.registry import outside_modules
from lowland.execution.snapshot import Snapshot, in_memory, on_device
from lowland.measures import Context, Score
from lowland.measures.measure import Measure
from lowland.search.racing import INFLUENCE, rounded
from lowland.store.artifacts import INITIAL, TRAINED
from lowland.store.tensors import to_safetensors
from lowland.training.finetune import finetuned
from lowland.workflow.requests import RacingMeasure, ScoreRequest
from lowland.workflow.session import Materials, Session

if TYPE_CHECKING:
    from torch import Tensor

    from lowland.spaces import Supernet

IMAGES = "forward_images"
"""The detail of a score that counts images passed forward through the supernet."""


class SessionMeasures:
    """Answers requests about genotypes of one session; each measure is made when it is first asked for.

    Args:
        session: The run, its supernet trained.
        count_images: Note in each score's details how many images went through the supernet.
    """

    def __init__(self, session: Materials, count_images: bool) -> None:
        self.session = session
        self.count_images = count_images
        self._measures: dict[ScoreRequest, Measure] = {}
        self._contexts: dict[int, Context] = {}

    def measure(self, request: MeasureConfig | RacingMeasure) -> Measure:
        """The measure that a request asks for."""
        if request not in self._measures:
            config = request.measure if isinstance(request, RacingMeasure) else request
            self._measures[request] = measuring.get(config)
        return self._measures[request]

    def context(self, request: MeasureConfig | RacingMeasure) -> Context:
        """What the measure may look at: of a first look, fewer images."""
        whole = self.session.context
        if not isinstance(request, RacingMeasure):
            return whole
        if request.images not in self._contexts:
            self._contexts[request.images] = replace(whole, scored=self.session.scored(request.images))
        return self._contexts[request.images]

    def __call__(self, request: ScoreRequest, genotype: Genotype) -> Score:
        """The score that a request asks for; of a first look, with the influence of each image in the details."""
        score = self._score(request, genotype)
        if isinstance(request, RacingMeasure) and score.influence_N is not None:
            score = replace(score, details={**score.details, INFLUENCE: rounded(score.influence_N)})
        return score

    def _score(self, request: ScoreRequest, genotype: Genotype) -> Score:
        session = self.session
        supernet, context = session.supernet, self.context(request)
        if session.config.finetune.epochs:
            supernet = finetuned(supernet, genotype, session.config, session.data, session.compute)
        if not self.count_images:
            return self.measure(request).score(supernet, genotype, context)
        with counted(supernet) as passed:
            score = self.measure(request).score(supernet, genotype, context)
        return replace(score, details={**score.details, IMAGES: passed()})


@dataclass(frozen=True)
class Prepare:
    """What a worker process does first: all that scoring needs is made of a snapshot; the run itself is not opened."""

    snapshot: Snapshot
    modules: tuple[str, ...]
    count_images: bool

    def __call__(self) -> SessionMeasures:
        """Load the data, where they do not come along, and the supernet.

        Returns:
            The function that measures.

        Raises:
            ConfigError: A module that brings a member is not there, or this processor has not the run's precision.
        """
        materials = opened(self.snapshot, self.modules)
        _ = materials.supernet, materials.context  # before the first candidate, so that a fault is no candidate's
        return SessionMeasures(materials, self.count_images)


def prepared(session: Session, *, with_data: bool, count_images: bool) -> Prepare:
    """What workers prepare from.

    Args:
        session: The run, its supernet trained.
        with_data: Whether images that are held in memory go along; else, and where they are streamed, a worker reads
            them from where the settings say.
        count_images: Note in each score's details how many images went through the supernet.

    Returns:
        What each of them calls first.
    """
    snapshot = snapshot_of(session, with_data=with_data, files=(INITIAL, TRAINED))
    return Prepare(snapshot, outside_modules(), count_images)


def snapshot_of(
    session: Session, *, with_data: bool, files: Sequence[str], threads: int = 1, test: bool = False
) -> Snapshot:
    """What workers on any machine need of a run.

    Args:
        session: The run.
        with_data: As in `prepared`.
        files: Files of weights that go along.
        threads: CPU threads of each worker.
        test: Whether test images are among those that go along.

    Returns:
        The snapshot; `opened` makes materials of it.
    """
    run = session.run
    compute = session.config.compute.model_copy(
        update={"threads": threads, "device": session.compute.device.type, "precision": session.compute.precision}
    )
    return Snapshot(
        path=run.path.resolve(),
        config=session.config.model_copy(update={"compute": compute}),
        manifest={name: run.manifest[name] for name in ("data", "renewed") if name in run.manifest},
        tensors={name: to_safetensors(*run.load_tensors(name)) for name in files},
        chosen=session.config.compute.precision == "auto",
        data=in_memory(session.data, test=test) if with_data else None,
    )


def opened(snapshot: Snapshot, modules: Sequence[str]) -> Materials:
    """What a worker makes of a snapshot.

    Returns:
        The run's materials.

    Raises:
        ConfigError: A module that brings a member is not there, or this processor has not the run's precision.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"worker on {platform.node()}: module {module}, which this run needs, cannot be imported there "
                f"({error}); install it on every machine"
            ) from error
    snapshot.require_precision()
    materials = Materials(snapshot)
    if snapshot.data is not None:
        materials.given = on_device(snapshot.data, materials.compute.device)
    return materials


@contextmanager
def counted(supernet: Supernet) -> Iterator[Callable[[], int]]:
    """Within the block, how many images have been passed forward through the supernet so far."""
    images = 0

    def count(_: object, arguments: tuple[Tensor, ...]) -> None:
        nonlocal images
        images += len(arguments[0])

    handle = supernet.register_forward_pre_hook(count)
    try:
        yield lambda: images
    finally:
        handle.remove()
