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
from dataclasses import replace
from typing import Any

import numpy as np

from lowland.core.config import Config
from lowland.core.errors import LowlandError, NotFiniteError
from lowland.core.monitor import Monitor
from lowland.core.threads import threads_of
from lowland.measures.aggregation import AGGREGATIONS
from lowland.measures.expression import combination
from lowland.search.aggregation import parts
from lowland.search.record import Ranked, SearchRecord
from lowland.spaces.values import AS_PUBLISHED
from lowland.store.run import Run
from lowland.training.optimization import steps_per_epoch
from lowland.workflow.designs import Design, entrants
from lowland.workflow.rung_tasks import SideBySide, side_by_side
from lowland.workflow.rung_training import RungTraining, averaged_weights, row_of
from lowland.workflow.rungs import Rung, begun, promote_measure, regrouped, rungs, task_threads, trained_images
from lowland.workflow.session import Session

RUNGS = "rungs.json"
"""What every design was worth at every rung; part of the search stage."""


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
    if not rungs(session.config, session.data, len(designs)):
        session.monitor.note("the retraining has a single step, so that nothing can be compared half-way: no finalists")
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
        self.training = RungTraining(session)
        self.identity = self._identity()
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
        with side_by_side(session, self.training) as beside:
            for number, rung in enumerate(rungs(session.config, session.data, len(designs))):
                session.monitor.start(f"rung {number + 1}", len(alive), "network")
                for done, _ in enumerate(self._judged(alive, number, rung, beside), start=1):
                    session.monitor.advance(done, **self._told(alive, number))
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

    def _judged(
        self, designs: Sequence[Design], number: int, rung: Rung, beside: SideBySide | None
    ) -> Iterator[Design]:
        """Train designs to a rung and keep what they are worth there; nothing is done where that is known."""
        unknown: list[Design] = []
        for design in designs:
            self.reached[design.key] = number
            known = len(self.known.setdefault(design.key, [])) > number
            if known:
                yield design
            else:
                unknown.append(design)
        for design, row in self._one_by_one(unknown, rung) if beside is None else beside.rows(unknown, rung):
            if "failed" in row:
                text = self.session.space.format(design.genotype)
                self.session.monitor.note(f"finalist {text} failed: {row['failed']}")
            self.known[design.key].append(row)
            self.session.run.write_json(RUNGS, {"identity": self.identity, "designs": self.known})
            yield design

    def _one_by_one(self, designs: Sequence[Design], rung: Rung) -> Iterator[tuple[Design, dict[str, Any]]]:
        for design in designs:
            try:
                yield design, self._trained(design, rung.steps)
            except NotFiniteError as error:  # it diverged, or has no finite loss
                yield design, {"steps": rung.steps, "failed": str(error)}

    def _trained(self, design: Design, steps: int) -> dict[str, Any]:
        with threads_of(task_threads(self.session.config, self.session.compute)):
            history = self.training.train(design, steps, self.session.run, _Quiet(self.session.monitor))
            kept = self.session.run.load_checkpoint(design.checkpoint)
            assert kept is not None
            return row_of(steps, history.seconds, self.training.judge(design, averaged_weights(kept[0])))

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
            place=of.place if of is not None else None,
            shortlist=of.shortlist if of is not None else None,
            shape=design.size,
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
        values_MN = [np.array([row["details"][label]["value"] for row in rows]) for label in parts(rows[0]["details"])]
        return list(map(float, AGGREGATIONS[combine](values_MN)))

    def _told(self, designs: Sequence[Design], number: int) -> dict[str, float]:
        """The best figure so far, for people; of a sum by ranks there is none."""
        found = [self.known[design.key][number] for design in designs if len(self.known.get(design.key, ())) > number]
        values = [row["value"] for row in found if "value" in row]
        return {"best": max(values)} if values and combination(promote_measure(self.session.config)) == "sum" else {}

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
            "measure": self.training.measure.identity(),
            "network": _network(config),
            "rungs": [config.search.finalist_epochs, config.search.halving],
            "data": session.data.fingerprint,
            "seed": config.seed,
            "precision": session.compute.precision,
        }
        return json.dumps(parts, sort_keys=True)


def _network(config: Config) -> dict[str, Any]:
    """Settings of the network; of runs of before there was a norm, a resolution or a filled width none are here."""
    values = config.network.model_dump(mode="json", exclude=None if config.network.fill else {"fill"})
    return {name: value for name, value in values.items() if name == "growth" or AS_PUBLISHED.get(name) != value}


class _Quiet(Monitor):
    """Passes on the wish to stop, and nothing of the steps within a rung."""

    def __init__(self, outer: Monitor) -> None:
        self.outer = outer

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        """Whether a stop was asked for."""
        return self.outer.stopping
