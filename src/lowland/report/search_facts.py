"""Facts of the search: its candidates and, where it had several objectives, its Pareto front, as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lowland.evaluation.section import Estimate

MOST_CANDIDATES = 2000
"""Of more candidates a report takes a sample, so that page, time and memory stay small."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredCandidate:
    """One scored candidate.

    Attributes:
        index: From 0, in the order of evaluation.
        generation: Generation of the search.
        origin: `random`, `mutation`, `crossover`, `surrogate` or `exhaustive`.
        parameters: Of the delivered network.
        macs: Of the delivered network, for one image.
        score: By the measure, greater is better; without a unit where `Search.ordered`.
        place: In the order of the measure, from 1; None where scores have a unit.
        genotype: As text, where it is shown.
        error: 100 − top-1 accuracy on search images, percent, where the measure keeps it.
        robustness: R(x, σ), percentage points, where the measure keeps it.
    """

    index: int
    generation: int
    origin: str
    parameters: int
    macs: int
    score: float
    place: int | None = None
    genotype: str = ""
    error: Estimate | None = None
    robustness: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """All candidates of the search, or a sample of them.

    Attributes:
        candidates: Those with a score, by index; of very many a `sample`.
        failed: How many could not be scored.
        images: Images each candidate was scored on, or None where the measure looks at none.
        winner: Index of the best candidate.
        score_error: Standard error of the winner's score, or None.
        noise: Relative weight noise σ and the number of draws behind the candidates' R, or None.
        scored: How many have a score; None: as many as `candidates`.
        ordered: Whether scores are only an order, so that places are shown and no values.
        delivered: Whether the winner is the delivered network, which else was written by hand and never scored.
    """

    candidates: tuple[ScoredCandidate, ...]
    winner: int
    failed: int = 0
    images: int | None = None
    score_error: float | None = None
    noise: tuple[float, int] | None = None
    scored: int | None = None
    ordered: bool = False
    delivered: bool = True

    @property
    def count(self) -> int:
        """How many candidates have a score."""
        return len(self.candidates) if self.scored is None else self.scored


def sample(values_N: NDArray[np.float64], winner: int, most: int) -> list[int]:
    """Choose at most `most` of N candidates, the same on every machine.

    Args:
        values_N: Of all candidates in order of evaluation, greater is better.
        winner: Position of the delivered one.
        most: At least 2.

    Returns:
        Positions, sorted: every improvement on the best so far and the winner, and an even choice of the rest; where
        the improvements alone are too many, an even choice of these.
    """
    if len(values_N) <= most:
        return list(range(len(values_N)))
    before_N = np.concatenate(([-np.inf], np.maximum.accumulate(values_N)[:-1]))
    improved = _evenly(np.flatnonzero(values_N > before_N), most - 1)
    always = np.union1d(improved, [winner])
    rest = np.setdiff1d(np.arange(len(values_N)), always)
    chosen = np.union1d(always, _evenly(rest, most - len(always)))
    return [int(position) for position in chosen]


def _evenly(positions: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """At most `most` of these positions, first and last among them."""
    if len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]


@dataclass(frozen=True, kw_only=True, slots=True)
class RelaxedEpoch:
    """One epoch of a gradient search.

    Attributes:
        epoch: From 1.
        genotype: What the architecture parameters stood for at its end, as text.
        skips: Skip connections of it in each kind of cell.
        validation_loss: Mean of the epoch, nats; None where the architecture was not learnt from validation images.
    """

    epoch: int
    genotype: str
    skips: Mapping[str, int]
    validation_loss: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What a search that judges its supernet without operations or edges kept (DARTS-PT).

    Attributes:
        place: Kind of cell, and the edge or the node, in words.
        kept: The operation, or the edges.
        without: Accuracy of the supernet in [0, 1] without each, the dearest first.
    """

    place: str
    kept: str
    without: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, made: Mapping[str, Any]) -> Decision:
        """Read what the search kept."""
        of_edge = "edge" in made
        names = {name: name if of_edge else f"edge {name}" for name in made["without"]}
        found = [(names[name], each["accuracy"]) for name, each in made["without"].items()]
        return cls(
            place=f"{made['kind']}, " + (f"edge {made['edge']}" if of_edge else f"node {made['node']}"),
            kept=made["kept"] if of_edge else "edges " + " and ".join(map(str, made["kept"])),
            without=tuple(sorted(found, key=lambda each: each[1])),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Relaxed:
    """A gradient search.

    Attributes:
        epochs: Its epochs.
        chosen: The one whose genotype it found, from 1; None: none.
        operations: Of a cell.
        decisions: In their order, of a search that decides edge by edge.
    """

    epochs: tuple[RelaxedEpoch, ...]
    chosen: int | None
    operations: int
    decisions: tuple[Decision, ...] = ()

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Relaxed:
        """Read what the search kept, which counts epochs from 0."""
        chosen = result["chosen"]
        return cls(
            epochs=tuple(
                RelaxedEpoch(
                    epoch=each["epoch"] + 1,
                    genotype=each["genotype"],
                    skips=each["skips"],
                    validation_loss=each["validation_loss"],
                )
                for each in result["epochs"]
            ),
            chosen=None if chosen is None else chosen + 1,
            operations=result["operations"],
            decisions=tuple(map(Decision.of, result.get("decisions", ()))),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """One objective of a multi-objective search, minimised.

    Attributes:
        label: As it was written, such as `flatnas(alpha=0.5)`.
        kind: `params`, `macs`, `error`, `robustness`, `flatnas`, `latency` or `measure` (minus a measure).
        unit: In words, or empty.
        exact: Whether it is counted, not measured.
        alpha: α of `flatnas`.
    """

    label: str
    kind: str
    unit: str = ""
    exact: bool = False
    alpha: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A candidate as a point of objective space: its value of every objective, and whether it is within the limits."""

    candidate: ScoredCandidate
    objectives: tuple[Estimate, ...]
    feasible: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """The surrogate of one objective in one iteration; τ ± standard deviation over folds, None: too few points."""

    objective: str
    kind: str
    tau: float | None = None
    std: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Iteration:
    """One iteration, 0 being the random sample: candidates scored up to its end, their hypervolume, what it used."""

    iteration: int
    proposed: int
    scored: int
    hypervolume: float
    k: float | None = None
    fits: tuple[Fit, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pareto:
    """What a multi-objective search found.

    Attributes:
        objectives: At least two.
        points: Scored candidates, in the order of evaluation.
        front: Positions in `points` of the feasible front, by the first objective.
        pick: Position in `points` of the one of the front that is delivered.
        iterations: In order, the random sample first.
        k: Scale of R in every value of `flatnas`, or None.
        hypervolume: How hypervolumes are to be read.
        rule: What made the pick: the front's `knee`, or its `best` by the first objective.
    """

    objectives: tuple[Objective, ...]
    points: tuple[Point, ...]
    front: tuple[int, ...]
    pick: int
    iterations: tuple[Iteration, ...]
    k: float | None = None
    hypervolume: str = ""
    rule: Literal["knee", "best"] = "knee"

    @property
    def mark(self) -> str:
        """What the pick is called in figures and tables."""
        return "knee" if self.rule == "knee" else "pick"

    @classmethod
    def of(cls, result: Mapping[str, Any], candidates: Sequence[ScoredCandidate]) -> Pareto:
        """Read what `search.pareto.describe` returned, also after a round trip through JSON.

        Args:
            result: Its facts.
            candidates: One for each of its candidates, in the same order.

        Returns:
            The same facts, typed.
        """
        return cls(
            objectives=tuple(Objective(**row) for row in result["objectives"]),
            points=tuple(
                Point(
                    candidate=candidate,
                    objectives=tuple(
                        Estimate(value=value, standard_error=error)
                        for value, error in zip(row["objectives"], row["standard_errors"], strict=True)
                    ),
                    feasible=row["feasible"],
                )
                for row, candidate in zip(result["candidates"], candidates, strict=True)
            ),
            front=tuple(result["front"]),
            pick=result["pick"],
            iterations=tuple(
                Iteration(
                    fits=tuple(
                        Fit(objective=fit["objective"], kind=fit["kind"], tau=fit["tau"], std=fit["tau_std"])
                        for fit in row["surrogates"]
                    ),
                    **{key: row[key] for key in ("iteration", "proposed", "scored", "hypervolume", "k")},
                )
                for row in result["iterations"]
            ),
            k=result["k"],
            hypervolume=result["reference"]["hypervolume"],
            rule=result["rule"],
        )
