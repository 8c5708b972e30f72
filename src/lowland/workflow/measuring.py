"""What a genotype of a run is worth: requests are answered with one session's supernet and images, in any process."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lowland import measures as measuring
from lowland.core.config import Config, MeasureConfig
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.measures import Context, Score
from lowland.measures.measure import Measure
from lowland.search.racing import INFLUENCE, rounded
from lowland.store.run import Run
from lowland.training.finetune import finetuned
from lowland.workflow.requests import RacingMeasure, ScoreRequest
from lowland.workflow.session import Session

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

    def __init__(self, session: Session, count_images: bool) -> None:
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
    """What a worker process does first: it opens the run for itself. It loads data and supernet when first needed."""

    path: Path
    config: Config
    modules: tuple[str, ...]
    count_images: bool

    def __call__(self) -> SessionMeasures:
        """Open the run, and what scoring needs of it."""
        for module in self.modules:
            importlib.import_module(module)
        run = Run.open(self.path, read_only=True)
        run.config = self.config.model_copy(
            update={"compute": self.config.compute.model_copy(update={"threads": 1, "device": "cpu"})}
        )
        session = Session(run, Monitor())
        _ = session.supernet, session.context  # before the first candidate, so that a fault is no candidate's
        return SessionMeasures(session, self.count_images)


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
