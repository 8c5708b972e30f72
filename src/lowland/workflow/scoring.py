"""Scoring the candidates of a run: in this process, or in worker processes that open the same run."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lowland import measures as measuring
from lowland.core.config import Config, MeasureConfig, RetrainConfig
from lowland.core.device import available_cores
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.registry import outside_modules
from lowland.execution.outcome import Outcome
from lowland.measures import Context, Score, per_image
from lowland.measures.combined import parts_of
from lowland.measures.measure import Measure
from lowland.search import LocalScorer, Scorer, Workers
from lowland.search.racing import INFLUENCE, rounded
from lowland.store.run import Run
from lowland.training import network as network_training
from lowland.training.finetune import finetuned
from lowland.training.loop import fit
from lowland.workflow.session import Session

if TYPE_CHECKING:
    from torch import Tensor

    from lowland.spaces import Supernet

IMAGES = "forward_images"
"""The detail of a score that counts images passed forward through the supernet."""


@dataclass(frozen=True)
class RacingMeasure:
    """A measure on the first `images` of the scored images, with each image's influence in the details (racing)."""

    measure: MeasureConfig
    images: int


@dataclass(frozen=True)
class ShortTraining:
    """The accuracy on the whole search split after training from scratch (`finalists`)."""

    recipe: RetrainConfig


ScoreRequest = MeasureConfig | RacingMeasure | ShortTraining
"""What is asked of every genotype."""


def measure_identity(config: Config, supernet_digest: str, raced: int | None = None) -> str:
    """What makes two scores comparable: the measure's settings, the supernet's weights, the seed and the precision.

    Where candidates are fine-tuned, the recipe too; of a first look, how many images it takes (`raced`). The data need
    no part of their own: they decide the weights.
    """
    parts: dict[str, Any] = {
        "measure": config.measure.model_dump(mode="json"),
        "supernet": supernet_digest,
        "seed": config.seed,
        "precision": config.compute.precision,
    }
    if config.finetune.epochs:
        parts["finetune"] = config.finetune.identity()
    if raced is not None:
        parts["raced"] = raced
    return json.dumps(parts, sort_keys=True)


@contextmanager
def scorers(session: Session, *, count_images: bool = False) -> Iterator[Callable[[ScoreRequest], Scorer]]:
    """Within the block, a scorer for every measure asked for, all sharing the same worker processes.

    On a CPU every process computes with one thread, so that scores do not depend on `search.workers` and
    `compute.threads`. Accelerators and torchrun score in this process.

    Args:
        session: The run, its supernet trained.
        count_images: Note in each score's details how many images went through the supernet.
    """
    judge = _SessionScorer(session, count_images)
    with ExitStack() as stack:
        if session.compute.device.type == "cpu":
            stack.enter_context(single_thread())
        workers: Workers | None = None
        size = processes(session)
        if size > 1:
            prepare = _Prepare(session.run.path.resolve(), session.config, outside_modules(), count_images)
            workers = stack.enter_context(Workers(size, prepare))

        def scorer(request: ScoreRequest) -> Scorer:
            local = LocalScorer(lambda genotype: judge(request, genotype))
            parts = [] if isinstance(request, ShortTraining) else parts_of(judge.measure(request))
            # A class of the calling script cannot be imported by another process.
            movable = "__main__" not in {type(needed).__module__ for needed in (*parts, session.space)}
            if workers is None or not movable or any(part.exclusive for part in parts):
                return local
            return _Parallel(workers, request, local)

        yield scorer


def processes(session: Session) -> int:
    """How many processes score: `search.workers`, by default the cores available; 1 except on a CPU."""
    if session.compute.device.type != "cpu" or session.world.size > 1 or not sys.executable:
        return 1
    return session.config.search.workers or available_cores()


@contextmanager
def single_thread() -> Iterator[None]:
    """Within the block torch computes with one thread in this process."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class _Parallel:
    """One measure's scorer in worker processes."""

    workers: Workers
    request: ScoreRequest
    local: LocalScorer

    def scores(self, genotypes: Sequence[Genotype]) -> Generator[Outcome]:
        return self.workers.scores(self.request, genotypes, self.local)


class _SessionScorer:
    """Measures of one session's supernet, each made when first asked for."""

    def __init__(self, session: Session, count_images: bool) -> None:
        self.session = session
        self.count_images = count_images
        self._measures: dict[ScoreRequest, Measure] = {}
        self._contexts: dict[int, Context] = {}

    def measure(self, request: MeasureConfig | RacingMeasure) -> Measure:
        if request not in self._measures:
            config = request.measure if isinstance(request, RacingMeasure) else request
            self._measures[request] = measuring.get(config)
        return self._measures[request]

    def context(self, request: MeasureConfig | RacingMeasure) -> Context:
        whole = self.session.context
        if not isinstance(request, RacingMeasure):
            return whole
        if request.images not in self._contexts:
            self._contexts[request.images] = replace(whole, scored=self.session.scored(request.images))
        return self._contexts[request.images]

    def __call__(self, request: ScoreRequest, genotype: Genotype) -> Score:
        score = self._score(request, genotype)
        if isinstance(request, RacingMeasure) and score.influence_N is not None:
            score = replace(score, details={**score.details, INFLUENCE: rounded(score.influence_N)})
        return score

    def _score(self, request: ScoreRequest, genotype: Genotype) -> Score:
        session = self.session
        if isinstance(request, ShortTraining):
            return _trained(session, genotype, request.recipe)
        supernet, context = session.supernet, self.context(request)
        if session.config.finetune.epochs:
            supernet = finetuned(supernet, genotype, session.config, session.data, session.compute)
        if not self.count_images:
            return self.measure(request).score(supernet, genotype, context)
        with counted(supernet) as passed:
            score = self.measure(request).score(supernet, genotype, context)
        return replace(score, details={**score.details, IMAGES: passed()})


def _trained(session: Session, genotype: Genotype, recipe: RetrainConfig) -> Score:
    """Accuracy on the search split, in [0, 1], of the delivered network trained by `recipe`."""
    config, compute = session.config, session.compute
    body = network_training.build(genotype, session.network_shape(genotype), recipe, config.seed)
    if recipe.inherit:
        network_training.inherit_from(session.supernet, body, genotype)
    body = compute.prepare(body)
    fit(network_training.job(genotype, body, recipe, session.data, compute, config.seed))
    outcome = per_image.evaluate(body.eval(), session.scored(len(session.data.search)), compute)
    return Score(outcome.accuracy, outcome.accuracy_se, {"images": outcome.images})


@dataclass(frozen=True)
class _Prepare:
    """What a worker process does first: it opens the run for itself. It loads data and supernet when first needed."""

    path: Path
    config: Config
    modules: tuple[str, ...]
    count_images: bool

    def __call__(self) -> _SessionScorer:
        for module in self.modules:
            importlib.import_module(module)
        run = Run.open(self.path, read_only=True)
        run.config = self.config.model_copy(
            update={"compute": self.config.compute.model_copy(update={"threads": 1, "device": "cpu"})}
        )
        session = Session(run, Monitor())
        _ = session.supernet, session.context  # before the first candidate, so that a fault is no candidate's
        return _SessionScorer(session, self.count_images)


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
