"""How long the stages of a run take on this machine, from a few seconds of each kind of work.

Single pieces are timed: a step of the supernet, a step of the network that is delivered, one candidate's score, one
image passed forward, one image corrupted. A plan multiplies them by their numbers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from lowland import measures as measuring
from lowland import spaces
from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.errors import LowlandError
from lowland.core.genotype import Genotype
from lowland.core.inference import evaluating
from lowland.core.seeds import numpy_rng
from lowland.core.threads import available_cores, threads_of
from lowland.data import STANDARD, DataSet, corrupt
from lowland.evaluation.shift.corruptions import makers
from lowland.evaluation.suite import Effort, suites
from lowland.measures import Context
from lowland.search.strategies import strategy as strategies
from lowland.spaces import Shape, Single, Supernet
from lowland.spaces.values import AS_PUBLISHED
from lowland.training import network as network_training
from lowland.training import supernet as supernet_training
from lowland.training.finetune import finetuning_job
from lowland.training.network import extracted
from lowland.training.optimization import lengthened, steps_per_epoch
from lowland.workflow import rungs, searchers
from lowland.workflow.design_steps import loop_step, rung_steps
from lowland.workflow.network_size import network_shape
from lowland.workflow.placed import placed
from lowland.workflow.room import processes
from lowland.workflow.scoring import single_thread

PIECE_SECONDS = 0.6
"""Each kind of work is timed for about so long."""

PICTURE_BATCH = 125


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Seconds of single pieces of work; None where a run has none of that kind, or it cannot be timed before.

    Attributes:
        supernet_step: Of the supernet's training.
        network_step: Of the delivered network's training, on the threads that it has; where several sizes begin it,
            their mean by arithmetic. Where finalists begin, the mean of a typical one and a busy one.
        candidate: One score, on one thread.
        image: One image through the delivered network, in fp32.
        image_as_trained: And in the run's precision and memory format.
        corrupted: One image corrupted.
        search_epoch: Of what the searcher itself trains, one of `supernet.epochs`.
        search_others: Of what it does beside these epochs, by names that it knows.
        finetuning: Of one candidate before its score, on one thread.
        rung_step: Of the training of a finalist, on the threads that it has; None: as `network_step`.
        reference_step: Of the training of a reference, on the threads that it has; None: none is trained.
        rung_judging: What a finalist is worth at a rung, on the threads that it has.
        rung_processes: So many finalists train at a time.
        reference_processes: So many references train, or are judged under corruption, at a time.
        scoring_processes: So many candidates are scored at a time; None: `search.workers`, or one per core.
    """

    supernet_step: float | None
    network_step: float
    candidate: float | None
    image: float
    image_as_trained: float
    corrupted: float
    search_epoch: float | None = None
    search_others: Mapping[str, float] = field(default_factory=dict)
    finetuning: float | None = None
    rung_step: float | None = None
    reference_step: float | None = None
    rung_judging: float | None = None
    rung_processes: int = 1
    reference_processes: int = 1
    scoring_processes: int | None = None


def costs(config: Config, data: DataSet, compute: Compute) -> Costs:
    """Time single pieces, on throw-away networks with random weights."""
    searcher = searchers.chosen(config.search)
    genotype = typical(config)
    shape = network_shape(config, data, genotype, rungs.usual_depth(config))
    body = compute.prepare(network_training.build(genotype, shape, config.retrain, config.seed))
    job = network_training.job(genotype, body, config.retrain, data, compute, config.seed)
    usual = arithmetic(config, data, genotype, shape)
    cost = partial(spaces.get(config.space).cost, genotype)
    published = cost(replace(shape, **AS_PUBLISHED)).macs / cost(shape).macs
    steps: dict[int, float] = {}

    def with_threads(threads: int) -> float:
        if threads not in steps:
            with threads_of(threads):
                steps[threads] = _timed(loop_step(job, compute))
        return steps[threads]

    network_step = with_threads(rungs.network_threads(config, data, compute))
    rung_threads, reference_threads = rungs.task_threads(config, compute), rungs.reference_threads(config, compute)
    rung_step, busier = None, 1.0  # nothing is known of a network that no rung has chosen
    if config.search.finalists:
        rung_step, busier = rung_steps(config, data, compute, genotype, _timed)
    reference_step = with_threads(reference_threads) if rungs.with_trainings(config, data) else None
    rung_judging = _judging(config, data, compute, Single(body, genotype, shape)) if config.search.finalists else None
    images_NCHW = data.test.images(torch.arange(min(PICTURE_BATCH, len(data.test))))
    exact = replace(compute, autocast_dtype=None, channels_last=False)
    image, image_as_trained = (_image(body, data.normalise(images_NCHW), each) for each in (exact, compute))
    corrupted = _corrupted(images_NCHW[:100], compute)  # of fewer the fixed cost of a call is most
    candidate = finetuning = each_step = None
    if searcher.supernet or config.finetune.epochs:
        initial = supernet_training.initial(config, data)
        weights = {name: value.clone() for name, value in initial.state_dict().items()}
        supernet = compute.prepare(initial)
        if config.finetune.epochs:
            finetuning = _finetuning(config, data, compute, supernet, genotype)
        if searcher.supernet:
            candidate = _candidate(config, data, compute, supernet, weights, genotype)
            each_step = _timed(step_of_supernet(config, data, compute, supernet))  # the last: it changes the weights
    return Costs(
        supernet_step=each_step,
        network_step=usual * busier * network_step,
        candidate=candidate,
        image=image,
        image_as_trained=image_as_trained,
        corrupted=corrupted,
        search_epoch=searcher.epoch_seconds(config, data, compute, _timed) if searcher.trains else None,
        search_others=searcher.other_pieces(config, data, compute, _timed) if searcher.trains else {},
        finetuning=finetuning,
        rung_step=None if rung_step is None else usual * rung_step,
        reference_step=None if reference_step is None else published * reference_step,
        rung_judging=None if rung_judging is None else busier * rung_judging,
        rung_processes=_processes(config, compute, rung_threads),
        reference_processes=_processes(config, compute, reference_threads),
        scoring_processes=processes(config, compute),
    )


def arithmetic(config: Config, data: DataSet, genotype: Genotype, shape: Shape) -> float:
    """Multiply-accumulates of what finalists begin with, over those of `shape`; 1 where there are none.

    Returns:
        The mean over the growths, norms and resolutions that the settings name, at the depth of `shape`.
    """
    search, network = config.search, config.network
    if not search.finalists:
        return 1.0
    growths, norms = search.growths or (network.growth,), search.norms or (network.norm,)
    ways = list(product(growths, norms, search.resolutions or (network.resolution,)))
    cost = partial(spaces.get(config.space).cost, genotype)
    macs = [cost(network_shape(config, data, genotype, shape.cells, *way)).macs for way in ways]
    return sum(macs) / len(macs) / cost(shape).macs


def typical(config: Config) -> Genotype:
    """A network like those that are found: the space's first that is written by hand, or a random one."""
    space = spaces.get(config.space)
    texts = list(space.references.values())
    return space.parse(texts[0]) if texts else space.sample(numpy_rng(config.seed))


def seconds(config: Config, data: DataSet, piece: Costs, last: str) -> dict[str, float]:
    """Seconds of every stage up to `last`; a stage of which nothing is known is left out.

    Example: retraining takes as many seconds as its steps do.

    Returns:
        Seconds by stage, in order.
    """
    found: dict[str, float] = {}
    searcher = searchers.chosen(config.search)
    if searcher.supernet and piece.supernet_step is not None:
        longer = lengthened(config.supernet, len(data.train))
        steps = longer.epochs * steps_per_epoch(longer, len(data.train))
        found["supernet"] = steps * piece.supernet_step
    if last != "supernet":
        found["search"] = _scoring(config, piece) + _rungs(config, data, piece)
        if piece.search_epoch is not None:
            found["search"] += lengthened(config.supernet, len(data.train)).epochs * piece.search_epoch
            found["search"] += searcher.other_seconds(config, data, piece.search_others)
    whole = rungs.total_steps(config, data)
    if last not in ("supernet", "search"):
        begun = rungs.begun_steps(config, data, config.search.finalists, config.retrain.top)
        found["train"] = (config.retrain.top * whole - begun) * piece.network_step
    if last in ("evaluate", "report"):
        asked = [each for each in suites(config) if "supernet" not in each.requires or searcher.supernet]
        efforts = [each.effort(config, data) for each in asked]
        found["evaluate"] = _evaluation(config, piece, efforts, whole, found["train"])
    return found


def _evaluation(config: Config, piece: Costs, efforts: Sequence[Effort], whole: int, before: float) -> float:
    """Seconds of all suites: judging goes on beside trainings, and what these give is judged after them.

    What is corrupted is judged side by side, all else by the calling process. Trainings began beside that of the
    delivered network, which took `before`, with one process less.

    Returns:
        The longest of: one training, all work over the processes, the judging without trainings; and what comes after.
    """

    def judging(of: Iterable[Effort]) -> float:
        effort = sum(of, Effort())
        each = effort.images * piece.image + effort.as_trained * piece.image_as_trained
        return config.retrain.top * each + effort.corrupted * piece.corrupted

    processes = piece.reference_processes
    alone = judging(each for each in efforts if not each.trainings and not each.corrupted)
    beside = judging(each for each in efforts if not each.trainings and each.corrupted)
    after = judging(each for each in efforts if each.trainings)
    trainings = sum(each.trainings for each in efforts)
    judged = alone + beside / processes
    if not trainings:
        return judged + after / processes
    training = whole * (piece.reference_step or piece.network_step)
    early = min(before * (processes - 1), trainings * min(training, before))
    last = training - early / trainings
    together = (trainings * training - early + alone + beside) / processes
    return max(last, together, judged) + after / processes


def _scoring(config: Config, piece: Costs) -> float:
    count = strategies.chosen(config.search).candidates()
    if piece.candidate is None or count is None:
        return 0.0
    each = piece.candidate + (piece.finetuning or 0.0)
    workers, lag = piece.scoring_processes or config.search.workers or available_cores(), config.search.lag
    return count * each / (workers if lag is None else min(workers, lag + 1))


def _rungs(config: Config, data: DataSet, piece: Costs) -> float:
    """The trainings of finalists, which take turns where several train at a time."""
    if not config.search.finalists:
        return 0.0
    steps = rungs.all_steps(config, data, config.search.finalists)
    judged = sum(rung.designs for rung in rungs.rungs(config, data, config.search.finalists))
    training = steps * (piece.rung_step or piece.network_step)
    return (training + judged * (piece.rung_judging or 0.0)) / piece.rung_processes


def _processes(config: Config, compute: Compute, threads: int) -> int:
    """Tasks of so many threads that are done at a time, on a CPU no more than it has cores for."""
    size = processes(config, compute, threads)
    return min(size, max(1, available_cores() // threads)) if compute.device.type == "cpu" else size


def _judging(config: Config, data: DataSet, compute: Compute, network: Single) -> float | None:
    """Seconds of judging one finalist at a rung, which is done once; None where random weights cannot be judged."""
    context = _context(config, data, compute, len(data.search))
    measure = measuring.get(rungs.promote_measure(config))
    with threads_of(rungs.task_threads(config, compute)):
        began = time.perf_counter()
        try:
            measure.score(compute.prepare(network).eval(), network.genotype, context)
        except (ArithmeticError, ValueError, LowlandError):  # random weights may have no finite loss
            return None
        return time.perf_counter() - began


def _image(body: nn.Module, x_NCHW: Tensor, compute: Compute) -> float:
    """One image through a network."""
    placed_NCHW, network = compute.place(x_NCHW), compute.prepare(body)
    with evaluating(network), torch.inference_mode(), compute.autocast():
        return _timed(lambda _: network(placed_NCHW)) / len(placed_NCHW)


def _corrupted(few_NCHW: Tensor, compute: Compute) -> float:
    """A corrupted image, by as many threads as make them."""
    names, at_a_time = list(STANDARD), max(1, makers(compute))

    def make(number: int) -> None:
        corrupt(few_NCHW, names[number % len(names)], 3, seed=0)

    with ThreadPoolExecutor(at_a_time) as threads:
        beside = _timed(
            lambda round: list(threads.map(make, range(round * at_a_time, (round + 1) * at_a_time))),
            least=math.ceil(len(names) / at_a_time),
        )
    return beside / (at_a_time * len(few_NCHW))


def _timed(work: Callable[[int], object], least: int = 1) -> float:
    """Seconds of one piece, after one that is not counted; what a GPU was asked for is waited for."""
    work(0)
    _wait()
    done, began = 0, time.perf_counter()
    while done < least or time.perf_counter() - began < PIECE_SECONDS:
        work(done + 1)
        done += 1
    _wait()
    return (time.perf_counter() - began) / done


def _wait() -> None:
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()


def supernet_step(config: Config, data: DataSet, compute: Compute) -> Callable[[int], object]:
    """(number) → a step of the training of a throw-away supernet."""
    return step_of_supernet(config, data, compute, compute.prepare(supernet_training.initial(config, data)))


def step_of_supernet(config: Config, data: DataSet, compute: Compute, supernet: Supernet) -> Callable[[int], object]:
    """(number) → a step of the training of that supernet."""
    return loop_step(supernet_training.job(config, data, supernet, compute), compute)


def _finetuning(config: Config, data: DataSet, compute: Compute, supernet: Supernet, genotype: Genotype) -> float:
    """The fine-tuning of one candidate on one thread, as a worker does it."""
    network = compute.prepare(extracted(supernet, genotype))
    job = finetuning_job(network, genotype, config, data, compute)
    with _as_a_worker(compute):
        return job.total_steps() * _timed(loop_step(job, compute))


def _candidate(
    config: Config,
    data: DataSet,
    compute: Compute,
    supernet: Supernet,
    weights: Mapping[str, Tensor],
    genotype: Genotype,
) -> float | None:
    """One score on one thread, as a worker computes it; None where untrained weights cannot be scored."""
    supernet.eval()
    measure = config.measure
    images = min(measure.images or len(data.search), len(data.search))
    context = replace(_context(config, data, compute, images), initial=weights)
    asked = measuring.get(strategies.chosen(config.search).measure(measure))
    with _as_a_worker(compute):
        try:
            return _timed(lambda _: asked.score(supernet, genotype, context))
        except (ArithmeticError, ValueError, LowlandError):  # untrained weights may have no finite loss
            return None


def _context(config: Config, data: DataSet, compute: Compute, images: int) -> Context:
    """What a measure may look at: the first images of the search split."""
    measure = config.measure
    take = partial(placed, size=measure.batch_size, data=data, compute=compute, memory_gb=config.data.memory_gb)
    return Context(
        space=spaces.get(config.space),
        scored=take(data.search, torch.arange(images)),
        calibration=take(data.train, torch.arange(min(measure.calibration_images, len(data.train)))),
        initial={},
        compute=compute,
        seed=config.seed,
    )


def _as_a_worker(compute: Compute) -> AbstractContextManager[None]:
    """Within the block torch computes with one thread on a CPU, as where candidates are scored."""
    return single_thread() if compute.device.type == "cpu" else nullcontext()
