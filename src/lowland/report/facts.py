"""Facts: everything the report shows, as plain values. The pipeline fills them from a run directory.

A stage that was not run is None or empty; its section is then left out and the report says which command makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lowland.report.search_facts import Estimate, Pareto, Search

if TYPE_CHECKING:
    from lowland.spaces.space import CellGraph


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
        finalist_epochs: Epochs for which the best were trained to be ordered anew; 0: there were no finalists.
        inherit: Whether delivered networks begin with the supernet's weights, not from scratch.
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
    finalist_epochs: int = 0
    inherit: bool = False
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
class ShiftGroup:
    """A group of corruptions, such as noise, and the mean error under them, percent."""

    name: str
    corruptions: tuple[str, ...]
    error: Estimate | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """Results on corrupted test images.

    Attributes:
        mean: Accuracy over all types and severities, percent.
        by: The same for each type and severity.
        n: Images behind each.
        severities: Levels judged.
        standard_error: Of `mean`, and of the mean corruption error 100 − `mean`.
        errors: Error under each type, mean over severities, percent; empty for runs judged before these were kept.
        groups: The types by group, in the publication's order; empty as `errors`.
        normalised_error: ImageNet-C's mCE, AlexNet being 100, where it is defined.
    """

    mean: float
    by: Mapping[str, Mapping[int, float]]
    n: int
    severities: tuple[int, ...]
    standard_error: float | None = None
    errors: Mapping[str, Estimate] = field(default_factory=dict)
    groups: tuple[ShiftGroup, ...] = ()
    normalised_error: float | None = None

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> Shift:
        """From one network's part of `evaluation.corruption_accuracy`, also after JSON made severities strings."""
        return cls(
            mean=result["mean"],
            by={name: {int(level): value for level, value in row.items()} for name, row in result["by"].items()},
            n=result["n"],
            severities=tuple(int(level) for level in result["severities"]),
            standard_error=result["standard_error"],
            errors={name: _estimate(row, result["n"]) for name, row in result.get("corruption_errors", {}).items()},
            groups=tuple(
                ShiftGroup(name=name, corruptions=tuple(row["corruptions"]), error=_estimate(row, result["n"]))
                for name, row in result.get("group_errors", {}).items()
            ),
            normalised_error=result.get("normalised_error"),
        )


def _estimate(row: Mapping[str, Any], n: int) -> Estimate:
    return Estimate(value=row["error"], standard_error=row["standard_error"], n=n)


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """One of the best genotypes, retrained or not; `rank` counts from 1.

    `objectives`: of a multi-objective search. `shortlist`: value by the shortlist's measure. `finalist`: top-1,
    percent, on search images after a short training.
    """

    rank: int
    genotype: str
    parameters: int
    macs: int
    score: Estimate
    test: Classification | None = None
    shift: Shift | None = None
    objectives: tuple[Estimate, ...] = ()
    shortlist: Estimate | None = None
    finalist: Estimate | None = None


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
        pareto: What it found, where it had several objectives, or None.
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
    pareto: Pareto | None = None
    cells: tuple[CellGraph, ...] = ()
    networks: tuple[Network, ...] = ()
    curves: tuple[Curve, ...] = ()
    training: Training | None = None
    loading: str = field(default="")
