"""Facts: everything the report shows, as plain values. The pipeline fills them from a run directory.

A stage that was not run is None or empty; its section is then left out and the report says which command makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lowland.evaluation.details import Details
from lowland.evaluation.results import Classification, Curve, Shift, ShiftGroup
from lowland.evaluation.section import Estimate, Figure, SuiteSection
from lowland.report.halving_facts import HalvingFacts
from lowland.report.search_facts import Pareto, Relaxed, Search

if TYPE_CHECKING:
    from lowland.spaces.values import CellGraph

__all__ = [
    "Asked",
    "Classification",
    "Commands",
    "Curve",
    "Data",
    "Epoch",
    "Judged",
    "Network",
    "ReportFacts",
    "Shift",
    "ShiftGroup",
    "Stage",
    "Standing",
    "Training",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Data:
    """The data set; split sizes are numbers of images; `channels` is 1 (grey) or 3. No classes: not loaded yet."""

    name: str
    classes: tuple[str, ...]
    image_size: int
    channels: int
    train: int
    search: int
    test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What the person asked for.

    Attributes:
        data: Data set and splits.
        space: Registered name of the search space.
        space_size: Number of legal genotypes.
        measure: Name of the measure, such as `angle+flatness`.
        strategy: How candidates were chosen.
        seed: Run seed.
        objectives: What a multi-objective strategy trades off; empty for the others.
        finetuned: Epochs for which every candidate was trained on before it was judged; 0: judged as inherited.
        shortlist: How many of the best were ordered anew by a second measure, and that measure; None: there was none.
        finalists: Designs whose training began and that were ordered by successive halving; 0: there were none.
        inherit: Whether delivered networks begin with the supernet's weights, not from scratch.
        trained_on_search: Whether delivered networks were trained on search images, too.
        max_params: Parameter limit, or None.
        max_macs: Multiply-accumulate limit, or None.
        settings: Further (name, value) lines worth showing, in order.
    """

    data: Data
    space: str
    space_size: int
    measure: str
    strategy: str
    seed: int
    objectives: tuple[str, ...] = ()
    finetuned: int = 0
    shortlist: tuple[int, str] | None = None
    finalists: int = 0
    inherit: bool = False
    trained_on_search: bool = False
    max_params: int | None = None
    max_macs: int | None = None
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of the run: wall time in seconds, and what was done in it, in a few words.

    `planned`: seconds that it was expected to take; None: that was not estimated.
    """

    name: str
    seconds: float
    detail: str = ""
    planned: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalist:
    """How a design did at the rungs of successive halving: its figure at the last that it reached.

    `value`: None where its training failed. `unit`: of the value; that of a measure is its own and not named. `name`:
    of a network written by hand.
    """

    value: Estimate | None
    rungs: int
    measure: str
    unit: str = ""
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """A place in an order, from 1, and of how many."""

    place: int
    of: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """One of the best genotypes, retrained or not; `rank` counts from 1.

    `score`: None where the order is all there is; `place` is then the one in the order of the measure. `objectives`: of
    a multi-objective search. `shortlist`: value by the shortlist's measure, or the place in its order where that has no
    unit. `finalist`: how it did at the rungs of successive halving.
    """

    rank: int
    genotype: str
    parameters: int
    macs: int
    score: Estimate | None
    test: Classification | None = None
    shift: Shift | None = None
    objectives: tuple[Estimate, ...] = ()
    shortlist: Estimate | Standing | None = None
    place: Standing | None = None
    finalist: Finalist | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Epoch:
    """One epoch of training: mean loss (nats) and accuracy (percent) on training and, where watched, other images."""

    epoch: int
    loss: float
    accuracy: float | None = None
    watched_loss: float | None = None
    watched_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Training:
    """How one network was trained; `watched` names the images of `watched_*`, such as "search split"."""

    label: str
    epochs: tuple[Epoch, ...]
    watched: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What one suite found, as it is kept.

    Attributes:
        suite: Its name.
        results: What it found, as its own `Results` reads it.
        figures: Its few figures, by rank of the network.
        section: Its report section in plain values; None in runs of format 1.
    """

    suite: str
    results: Mapping[str, Any]
    figures: Mapping[str, tuple[Figure, ...]] = field(default_factory=dict)
    section: SuiteSection | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Commands:
    """The command that makes what is missing, one for each stage; `details` where only these are."""

    search: str
    retrain: str
    evaluate: str
    details: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportFacts:
    """Everything one report shows.

    Attributes:
        run: Name of the run directory.
        created: When the run was made, as text.
        version: lowland's version.
        asked: What was asked for.
        commands: Commands that make missing sections.
        config_yaml: The complete settings.
        environment: (name, value) lines: versions, processor, threads, precision.
        stages: Stages run so far.
        search: The search, or None.
        pareto: What it found, where it had several objectives, or None.
        halving: The rungs of successive halving, or None.
        relaxed: The epochs of a gradient search, or None.
        cells: The winner's cells.
        networks: The best genotypes by rank; the first is the winner.
        curves: Loss against weight noise.
        judged: What further suites found, which no field above tells.
        details: What lies behind the best network's accuracy, or None.
        class_names: Names of the classes in the order of their labels, where `details` are there.
        training: Training curves of the retrained network.
        loading: Python code that loads the delivered network, or empty.
    """

    run: str
    created: str
    version: str
    asked: Asked
    commands: Commands
    config_yaml: str
    environment: tuple[tuple[str, str], ...] = ()
    stages: tuple[Stage, ...] = ()
    search: Search | None = None
    pareto: Pareto | None = None
    halving: HalvingFacts | None = None
    relaxed: Relaxed | None = None
    cells: tuple[CellGraph, ...] = ()
    networks: tuple[Network, ...] = ()
    curves: tuple[Curve, ...] = ()
    judged: tuple[Judged, ...] = ()
    details: Details | None = None
    class_names: tuple[str, ...] = ()
    training: Training | None = None
    loading: str = field(default="")
