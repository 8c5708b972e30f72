"""Successive halving: the best designs of a search are trained for real, rung by rung, and the better ones go on.

What tells good candidates from bad ones is not what tells the best of the good ones, and an order by inherited weights
does not know depth and width. So at the end of a search a few *designs* (a genotype at a depth, with the width that
fills the budget) begin their retraining. After each rung the best 1/η of them, by `search.promote` on the search split,
which they have not learned from, go on to η times the steps; the last one goes on in the stage `train` from where it
stands, by the same schedule, so that nothing is trained twice. Test images take no part.

Source: Karnin et al., ICML 2013; Jamieson and Talwalkar, AISTATS 2016 (Algorithm 1).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from lowland import measures as measuring
from lowland.core.config import Config, MeasureConfig
from lowland.core.errors import ConfigError, LowlandError
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.data import DataSet
from lowland.measures import Context
from lowland.measures.aggregation import AGGREGATIONS
from lowland.measures.combined import combination, parts_of
from lowland.measures.subnet import SubnetMeasure
from lowland.search.record import Ranked, SearchRecord
from lowland.spaces import Shape, Single
from lowland.store.run import Run
from lowland.training import network as network_training
from lowland.training.loop import Job, fit
from lowland.training.optimization import learning_rate, steps_per_epoch
from lowland.workflow.network_size import network_shape
from lowland.workflow.session import Session

RUNGS = "rungs.json"
"""What every design was worth at every rung; part of the search stage."""


BEGUN = "begun"
"""Folder of the states from which trainings that began in the rungs go on."""


def begun(rank: int) -> str:
    """Where that state is kept for the network of a rank, relative to the run directory."""
    return f"{BEGUN}/{rank}.safetensors"


def require(config: Config) -> None:
    """Raise ConfigError for rungs that cannot be: their measure, their lengths, their depths."""
    search = config.search
    if not search.finalists:
        return
    for part in parts_of(measuring.get(promote_measure(config))):
        if not isinstance(part, SubnetMeasure):
            raise ConfigError(
                f"search.promote={search.promote} has to judge trained networks by their outputs, and {part.name} does "
                "not; choose accuracy, loss, perturbed_accuracy, flatness or another measure of the outputs"
            )
    if search.finalist_epochs >= config.retrain.epochs:
        raise ConfigError(
            f"search.finalist_epochs={search.finalist_epochs:g} leaves nothing of the retraining, which has "
            f"retrain.epochs={config.retrain.epochs}; lower it, or raise retrain.epochs"
        )


@dataclass(frozen=True, kw_only=True)
class Design:
    """What is trained: a genotype of a certain size.

    Attributes:
        genotype: The architecture.
        shape: Its size.
        entry: Its place in the order of the search; None where it is written by hand.
        name: Of a network written by hand.
    """

    genotype: Genotype
    shape: Shape
    entry: Ranked | None = None
    name: str | None = None

    @property
    def key(self) -> str:
        """Differs from all other designs of a run."""
        genes = "-".join(map(str, self.genotype.genes))
        return f"{genes}-{self.shape.cells}-{self.shape.channels}"

    @property
    def checkpoint(self) -> str:
        """Name of its checkpoint."""
        return f"rung-{self.key}"


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One rung.

    Attributes:
        steps: Training steps of each design until then, from its first.
        designs: How many are trained so far.
    """

    steps: int
    designs: int


def rungs(config: Config, data: DataSet, designs: int) -> list[Rung]:
    """The rungs of so many designs: r₀, η·r₀, η²·r₀, … steps for n, ⌈n/η⌉, ⌈n/η²⌉, … designs, while there are several.

    No rung is longer than the whole retraining.

    Returns:
        The rungs, shortest first.
    """
    search, whole = config.search, total_steps(config, data)
    steps = max(1, round(search.finalist_epochs * steps_per_epoch(config.retrain, trained_images(config, data))))
    found = []
    while designs > 1:
        found.append(Rung(steps=min(steps, whole), designs=designs))
        if steps >= whole:
            break
        designs, steps = math.ceil(designs / search.halving), steps * search.halving
    return found


def trained_images(config: Config, data: DataSet) -> int:
    """Images that the delivered network learns from."""
    return len(data.train) + (len(data.search) if config.retrain.include_search_split else 0)


def total_steps(config: Config, data: DataSet) -> int:
    """Steps of the whole retraining."""
    return config.retrain.epochs * steps_per_epoch(config.retrain, trained_images(config, data))


def extra_steps(config: Config, data: DataSet, designs: int) -> int:
    """Training steps that the rungs take beyond the one retraining that goes on from them."""
    done, total = 0, 0
    for rung in rungs(config, data, designs):
        total += rung.designs * (rung.steps - done)
        done = rung.steps
    return total - done


def promote_measure(config: Config) -> MeasureConfig:
    """What orders designs at a rung: `search.promote`, with the shared settings of `measure`."""
    text = config.search.promote
    several = "rank" if config.measure.combine == "sum" else config.measure.combine
    return config.measure.model_copy(update={"name": text, "combine": several, "images": None})


def entrants(session: Session, ranking: Sequence[Ranked]) -> list[Design]:
    """The designs that begin: the space's hand-written networks, then the search's order, each at every depth.

    Those that the limits do not allow, or that are there already in another form, are left out.

    Returns:
        At most `search.finalists` designs, at least one.
    """
    config, space = session.config, session.space
    wanted = config.search.finalists
    depths = config.search.depths or (config.network.cells,)
    by_hand = space.references.items() if config.search.hand_written else ()
    named = [(space.parse(text), name) for name, text in by_hand]
    pool: list[tuple[Genotype, Ranked | None, str | None]] = [(genotype, None, name) for genotype, name in named]
    pool = pool[: max(1, wanted // (2 * len(depths)))] if pool else pool
    pool += [(each.genotype, each, None) for each in ranking]
    found: dict[tuple[str, int], Design] = {}
    for genotype, entry, name in pool:
        for cells in depths:
            key = (space.key(genotype), cells)
            if len(found) >= wanted or key in found:
                continue
            shape = network_shape(config, session.data, genotype, cells)
            if allowed(session, genotype, shape):
                found[key] = Design(genotype=genotype, shape=shape, entry=entry, name=name)
    return list(found.values())


def allowed(session: Session, genotype: Genotype, shape: Shape) -> bool:
    """Whether a design is within the limits, and can be built for these images."""
    limits = session.config.search
    try:
        session.space.check(shape)
        cost = session.space.cost(genotype, shape)
    except ConfigError:
        return False
    return (limits.max_params is None or cost.parameters <= limits.max_params) and (
        limits.max_macs is None or cost.macs <= limits.max_macs
    )


def halved(session: Session, found: SearchRecord) -> SearchRecord:
    """What a search left, ordered anew by successive halving among its best.

    Args:
        session: The run; its search stage is running.
        found: What the searcher left.

    Returns:
        The record with the designs first, those that went furthest before others, and then the rest in its order.

    Raises:
        InterruptedRun: the monitor asked for a stop; every design goes on from its last checkpoint.
        LowlandError: no design could be trained.
    """
    designs = entrants(session, found.ranking)
    if len(designs) < 2:
        return found
    halving = Halving(session)
    order = list(halving.run(designs))
    first = [halving.entry(design) for design in order]
    known = {design.genotype for design in designs}
    for rank, design in enumerate(order[: session.config.retrain.top], start=1):
        halving.keep(design, rank)
    halving.drop(designs)
    rest = [each for each in found.ranking if each.genotype not in known]
    return replace(found, ranking=[*first, *rest], files=[*found.files, RUNGS])


class Halving:
    """Trains designs of one run rung by rung.

    Args:
        session: The run.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.measure = measuring.get(promote_measure(session.config))
        self.identity = self._identity()
        self.context = Context(
            space=session.space,
            scored=session.scored(len(session.data.search)),
            calibration=session.calibration,
            initial={},
            compute=session.compute,
            seed=session.config.seed,
        )
        self.known: dict[str, list[dict[str, Any]]] = self._recorded(session.run)
        self.reached: dict[str, int] = {}

    def run(self, designs: Sequence[Design]) -> Iterator[Design]:
        """Train and promote.

        Yields:
            The designs, best first: those that went further before others, within a rung by their value.

        Raises:
            LowlandError: no design could be trained.
        """
        session = self.session
        alive, left = list(designs), list[Design]()
        for number, rung in enumerate(rungs(session.config, session.data, len(designs))):
            alive = alive[: rung.designs]
            session.monitor.start(f"rung {number + 1}", len(alive), "network")
            for done, design in enumerate(alive, start=1):
                self.judge(design, number, rung)
                session.monitor.advance(done, best=self._best(alive, number))
                session.monitor.check()
            session.monitor.finish()
            alive = self._ordered(alive, number)
            keep = math.ceil(len(alive) / session.config.search.halving)
            alive, beaten = alive[:keep], alive[keep:]
            left = [*beaten, *left]
        if not any("value" in row for rows in self.known.values() for row in rows):
            raise LowlandError("none of the finalists could be trained; lower retrain.learning_rate or the batch size")
        yield from alive
        yield from left

    def judge(self, design: Design, number: int, rung: Rung) -> None:
        """Train a design to a rung and keep what it is worth there; nothing is done where that is known."""
        rows = self.known.setdefault(design.key, [])
        self.reached[design.key] = number
        if len(rows) > number:
            return
        try:
            row = self._trained(design, rung.steps)
        except ArithmeticError as error:  # it diverged, or has no finite loss
            self.session.monitor.note(f"finalist {self.session.space.format(design.genotype)} failed: {error}")
            row = {"steps": rung.steps, "failed": str(error)}
        rows.append(row)
        self.session.run.write_json(RUNGS, {"identity": self.identity, "designs": self.known})

    def _trained(self, design: Design, steps: int) -> dict[str, Any]:
        session, recipe = self.session, self.session.config.retrain
        body = network_training.build(design.genotype, design.shape, recipe, session.config.seed)
        if recipe.inherit:
            network_training.inherit_from(session.supernet, body, design.genotype)
        job = self.job(design, session.compute.prepare(body))
        history = fit(
            job,
            checkpoints=session.run,
            checkpoint_seconds=session.config.compute.checkpoint_seconds,
            monitor=_Quiet(session.monitor),
            until=steps,
        )
        kept = session.run.load_checkpoint(job.name)
        assert kept is not None
        prefix = "averaged:module."
        averaged = {name.removeprefix(prefix): value for name, value in kept[0].items() if name.startswith(prefix)}
        body.load_state_dict(averaged or body.state_dict())
        network = Single(body, design.genotype, design.shape).eval()
        score = self.measure.score(network, design.genotype, self.context)
        return {
            "steps": steps,
            "value": score.value,
            "standard_error": score.standard_error,
            "details": dict(score.details),
            "seconds": round(history.seconds, 2),
        }

    def job(self, design: Design, body: nn.Module) -> Job:
        """The beginning of the design's retraining: its schedule, but without the search split."""
        config, data = self.session.config, self.session.data
        whole = steps_per_epoch(config.retrain, trained_images(config, data))
        epochs = math.ceil(total_steps(config, data) / steps_per_epoch(config.retrain, len(data.train)))
        recipe = config.retrain.model_copy(update={"epochs": epochs, "include_search_split": False, "patience": 0})
        job = network_training.job(design.genotype, body, recipe, data, self.session.compute, config.seed)
        return replace(job, name=design.checkpoint, rate=lambda step: learning_rate(config.retrain, step, whole))

    def entry(self, design: Design) -> Ranked:
        """A design's row in the ranking."""
        cost = self.session.space.cost(design.genotype, design.shape)
        rows = self.known[design.key][: self.reached[design.key] + 1]
        of = design.entry
        return Ranked(
            genotype=design.genotype,
            parameters=cost.parameters,
            macs=cost.macs,
            value=of.value if of is not None else None,
            standard_error=of.standard_error if of is not None else None,
            details=of.details if of is not None else {},
            shortlist=of.shortlist if of is not None else None,
            shape={"channels": design.shape.channels, "cells": design.shape.cells},
            finalist={"rungs": rows, "measure": self.session.config.search.promote, "name": design.name},
        )

    def keep(self, design: Design, rank: int) -> None:
        """Keep where the training of a design stands, for the stage `train` to go on from; nothing where it failed."""
        row = self.known[design.key][self.reached[design.key]]
        if "failed" in row:
            return
        kept = self.session.run.load_checkpoint(design.checkpoint)
        if kept is None or kept[1]["step"] != row["steps"]:  # its figures are from before the settings changed
            self.session.run.drop_checkpoint(design.checkpoint)
            self._trained(design, row["steps"])
            kept = self.session.run.load_checkpoint(design.checkpoint)
        assert kept is not None
        tensors, state = kept
        config, data = self.session.config, self.session.data
        before = steps_per_epoch(config.retrain, len(data.train))
        after = steps_per_epoch(config.retrain, trained_images(config, data))
        state = state | {"loss": regrouped(state["loss"], state["step"], before, after)}
        self.session.run.save_tensors(begun(rank), tensors, {"state": json.dumps(state), "design": design.key})

    def drop(self, designs: Sequence[Design]) -> None:
        """Delete the checkpoints of the rungs."""
        for design in designs:
            self.session.run.drop_checkpoint(design.checkpoint)

    def _ordered(self, designs: Sequence[Design], number: int) -> list[Design]:
        """Best first by the rung's figures; failed ones last; ties in the order they had."""
        rows = {design.key: self.known[design.key][number] for design in designs}
        scored = [key for key, row in rows.items() if "value" in row]
        values = dict(zip(scored, self._values([rows[key] for key in scored]), strict=True))
        return sorted(designs, key=lambda design: -values.get(design.key, -math.inf))

    def _values(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[float]:
        """What designs are promoted by: the measure's value, or for a sum the ranks of its parts among them."""
        combine = combination(promote_measure(self.session.config))
        if combine == "sum" or not rows:
            return [row["value"] for row in rows]
        labels = [label for label, part in rows[0]["details"].items() if isinstance(part, dict) and "weight" in part]
        parts = [np.array([row["details"][label]["value"] for row in rows]) for label in labels]
        return list(map(float, AGGREGATIONS[combine](parts)))

    def _best(self, designs: Sequence[Design], number: int) -> float:
        found = [self.known[design.key][number] for design in designs if len(self.known.get(design.key, ())) > number]
        return max((row["value"] for row in found if "value" in row), default=math.nan)

    def _recorded(self, run: Run) -> dict[str, list[dict[str, Any]]]:
        if RUNGS not in run.manifest["files"]:
            return {}
        kept = run.read_json(RUNGS)
        return dict(kept["designs"]) if kept["identity"] == self.identity else {}

    def _identity(self) -> str:
        """What makes figures at rungs comparable."""
        session, config = self.session, self.session.config
        parts = {
            "retrain": config.retrain.identity(exclude={"top", "recipe"}),
            "measure": self.measure.identity(),
            "network": config.network.model_dump(mode="json"),
            "rungs": [config.search.finalist_epochs, config.search.halving],
            "data": session.data.fingerprint,
            "seed": config.seed,
            "precision": session.compute.precision,
        }
        return json.dumps(parts, sort_keys=True)


def regrouped(losses: Sequence[float], step: int, before: int, after: int) -> list[float]:
    """Losses of epochs of `before` steps, and of the single steps of an unfinished one, as epochs of `after` steps.

    Within an epoch only the mean is known, which stands for each of its steps.

    Returns:
        Means of whole epochs, then the losses of the steps after them.
    """
    whole = step // before
    each = [loss for loss in losses[:whole] for _ in range(before)] + list(losses[whole:])
    done = step // after
    return [sum(each[at * after : (at + 1) * after]) / after for at in range(done)] + each[done * after :]


class Continued:
    """Checkpoints of a delivered network's training: the run's, and before there are any the state from the rungs.

    Args:
        run: The run.
        rank: Of the network.
    """

    def __init__(self, run: Run, rank: int) -> None:
        self.run, self.file = run, begun(rank)

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep it in the run."""
        self.run.save_checkpoint(name, tensors, state)

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest state, or where the rungs left it; None where neither is."""
        kept = self.run.load_checkpoint(name)
        if kept is not None or self.file not in self.run.manifest["files"]:
            return kept
        tensors, metadata = self.run.load_tensors(self.file)
        return tensors, json.loads(metadata["state"])


class _Quiet(Monitor):
    """Passes on the wish to stop, and nothing of the steps within a rung."""

    def __init__(self, outer: Monitor) -> None:
        self.outer = outer

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        """Whether a stop was asked for."""
        return self.outer.stopping
