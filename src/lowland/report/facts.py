"""Facts: everything the report shows, as plain values. The pipeline fills them from a run directory.

A stage that was not run is None or empty; its section is then left out and the report says which command makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from lowland.spaces.space import CellGraph


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """An estimated number: `value`, its standard error in the same unit (None: exact or unknown), its sample size."""

    value: float
    standard_error: float | None = None
    n: int | None = None


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
    max_params: int | None = None
    max_macs: int | None = None
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage of the run: wall time in seconds, and what was done in it, in a few words."""

    name: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One scored candidate; `index` counts from 0 in the order of evaluation. `origin`: random, mutation, crossover."""

    index: int
    generation: int
    origin: str
    parameters: int
    macs: int
    score: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """All candidates of the search.

    Attributes:
        candidates: Those with a score, by index.
        failed: How many could not be scored.
        images: Images each candidate was scored on, or None where the measure looks at none.
        winner: Index of the best candidate.
        score_error: Standard error of the winner's score, or None.
    """

    candidates: tuple[Candidate, ...]
    winner: int
    failed: int = 0
    images: int | None = None
    score_error: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """Loss against the strength of weight noise; loss in nats, `errors` are standard errors over `draws`."""

    label: str
    kind: Literal["winner", "random", "retrained"]
    sigmas: tuple[float, ...]
    loss: tuple[float, ...]
    errors: tuple[float | None, ...]
    draws: int
    images: int

    @classmethod
    def of(
        cls, result: Mapping[str, Any], *, label: str, kind: Literal["winner", "random", "retrained"], images: int
    ) -> Curve:
        """From what `evaluation.loss_curve` returned, also after a round trip through JSON."""
        return cls(
            label=label,
            kind=kind,
            sigmas=tuple(result["sigmas"]),
            loss=tuple(result["loss"]),
            errors=tuple(result["standard_error"]),
            draws=result["draws"],
            images=images,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Classification:
    """Test results as `evaluation.classification` returns them: `Classification(**result)`.

    Accuracies and calibration error in percent, likelihood in nats.
    """

    top1: float
    nll: float
    ece: float
    n: int
    top1_standard_error: float | None = None
    top5: float | None = None
    top5_standard_error: float | None = None
    nll_standard_error: float | None = None
    ece_standard_error: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """Accuracy in percent on corrupted test images: `by[type][severity]`, their mean, over `n` images each."""

    mean: float
    by: Mapping[str, Mapping[int, float]]
    n: int
    severities: tuple[int, ...]
    standard_error: float | None = None

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Shift:
        """From one network's part of `evaluation.corruption_accuracy`, also after JSON made severities strings."""
        return cls(
            mean=result["mean"],
            by={name: {int(level): value for level, value in row.items()} for name, row in result["by"].items()},
            n=result["n"],
            severities=tuple(int(level) for level in result["severities"]),
            standard_error=result["standard_error"],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """One of the best genotypes, retrained or not; `rank` counts from 1."""

    rank: int
    genotype: str
    parameters: int
    macs: int
    score: Estimate
    test: Classification | None = None
    shift: Shift | None = None


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
class Commands:
    """The command that makes what is missing, one for each stage."""

    search: str
    retrain: str
    evaluate: str


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
        cells: The winner's cells.
        networks: The best genotypes by rank; the first is the winner.
        curves: Loss against weight noise.
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
    cells: tuple[CellGraph, ...] = ()
    networks: tuple[Network, ...] = ()
    curves: tuple[Curve, ...] = ()
    training: Training | None = None
    loading: str = field(default="")
