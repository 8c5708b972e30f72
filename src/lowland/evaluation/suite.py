"""The suite: one way in which trained networks are judged, with settings of its own beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from torch import Tensor, nn

from lowland.core.config import Config as RunConfig
from lowland.core.device import Compute
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.core.options import own_settings
from lowland.core.registry import SUITES
from lowland.core.settings import NoSettings, Section
from lowland.core.threads import threads_of
from lowland.data import DataSet
from lowland.evaluation.section import Figure, SuiteSection

if TYPE_CHECKING:
    from lowland.evaluation.dense.suite import Place
    from lowland.evaluation.references import Trial
    from lowland.evaluation.tasks import JudgingTask, Portable

LossAt = Callable[[float, int], float]
"""(σ, draw) → mean cross-entropy, nats, with noise N(0, σ²) on the weights; the same arguments give the same loss."""

Batches = Sequence[tuple[Tensor, Tensor]]
"""Normalised images (B, C, H, W) on the device, with labels (B,)."""


class Results(Protocol):
    """What a suite found, as plain values."""

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON-like values."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """From `to_json`, also after a round trip through JSON."""


class Inherited(Protocol):
    """What a suite may ask of the supernet that the networks were found with."""

    @property
    def winner(self) -> Genotype:
        """The genotype of the first network."""

    def random(self, number: int) -> list[Genotype]:
        """Distinct uniform random genotypes within the search's limits; fewer where the limits leave fewer."""

    def text(self, genotype: Genotype) -> str:
        """A genotype as people write it."""

    def subnet(self, genotype: Genotype, scored: Batches) -> AbstractContextManager[LossAt]:
        """Within the block: the loss on `scored` of this path of the supernet, calibrated as the search did."""


@dataclass(frozen=True, kw_only=True)
class EvaluationContext:
    """What a suite works with.

    Attributes:
        data: The data set, its test images included.
        compute: Device, precision and memory format of the run.
        seed: The run's seed.
        batch_size: Images per forward pass (`evaluate.batch_size`).
        monitor: Hears how it goes.
        part: (name, compute) → JSON value: computed, or as it was before a stop. It is durable before it is counted,
            so that a long suite which computes part by part loses one part at most.
        searched: (indices) → those images of the search split in batches as the search looks at them.
        supernet: The supernet; None where there is none, and suites that require it are then left out.
        root: Folder of published data sets (`evaluate.root`); None where none was named.
        learned_search: Whether the networks have learned from the search images (`retrain.include_search_split`).
        portable: The networks as they travel to other processes, by rank; empty where nothing does.
        threads: CPU threads of what may be computed in other processes, or beside them; None: those of this one.
        ahead: Computes parts in other processes: (task of each part by its name) → how many there are then, after each
            that was lacking and is kept now; None where there are no such processes, and `part` computes all.
        trial: (whether under corruption) → the first network and the terms on which it meets references, by the
            recipe that trained it; ConfigError where it began with weights that they cannot have.
        place: (suite) → the first network as a source of backbones, and where a suite of a dense task keeps its
            trainings; ConfigError where the network cannot be one.
    """

    data: DataSet
    compute: Compute
    seed: int
    batch_size: int
    monitor: Monitor
    part: Callable[[str, Callable[[], Any]], Any]
    searched: Callable[[Tensor], Batches]
    root: Path | None = None
    learned_search: bool = False
    supernet: Inherited | None = None
    portable: Mapping[str, Portable] = field(default_factory=dict)
    threads: int | None = None
    ahead: Callable[[Mapping[str, JudgingTask]], Iterator[int]] | None = None
    trial: Callable[[bool], Trial] | None = None
    place: Callable[[str], Place] | None = None

    @property
    def threaded(self) -> AbstractContextManager[None]:
        """Within the block torch computes with `threads`."""
        return nullcontext() if self.threads is None else threads_of(self.threads)

    @property
    def exact(self) -> Compute:
        """fp32 in the plain memory format, as a person runs a network after `lowland.load`: other formats round."""
        return replace(self.compute, autocast_dtype=None, channels_last=False)

    @property
    def fast(self) -> Compute:
        """fp32 in the run's memory format, which may be twice as fast."""
        return replace(self.compute, autocast_dtype=None)

    @contextmanager
    def progressing(self, stage: str, unit: str) -> Iterator[Callable[[int, int], None]]:
        """A (done, total) callback that feeds the monitor and stops where it asks for a stop."""
        began = False

        def progress(done: int, total: int) -> None:
            nonlocal began
            if not began:
                self.monitor.start(stage, total, unit, done - 1)
                began = True
            self.monitor.advance(done)
            self.monitor.check()

        yield progress
        self.monitor.finish()


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a suite does for one network.

    Attributes:
        images: Forward passes of single images in fp32.
        as_trained: And in the run's precision and memory format.
        corrupted: Images that are corrupted first.
        trainings: Networks of the same size that are trained as it was.
    """

    images: int = 0
    as_trained: int = 0
    corrupted: int = 0
    trainings: int = 0

    def __add__(self, other: Effort) -> Effort:
        return Effort(
            images=self.images + other.images,
            as_trained=self.as_trained + other.as_trained,
            corrupted=self.corrupted + other.corrupted,
            trainings=self.trainings + other.trainings,
        )


R = TypeVar("R", bound=Results)


class Suite(ABC, Generic[R]):
    """Judges trained networks, and says in plain values what it found.

    A suite is one file: `name`, `summary` and `source` as plain text in its class body, settings in `Config`, and what
    it finds as a frozen dataclass. It changes no network.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]

    Config: ClassVar[type[Section]] = NoSettings
    """Its own settings, `evaluate.options.<name>`."""

    requires: ClassVar[tuple[str, ...]] = ()
    """What a run must have, such as `supernet`; where it has not, the suite is left out and that is said."""

    shared: ClassVar[tuple[str, ...]] = ("evaluate.batch_size",)
    """Settings or sections outside its own that decide its results, dotted: they are found anew where these change."""

    Results: ClassVar[type[Any]]
    """The class of what `run` returns."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def require(self, config: RunConfig, data: DataSet) -> None:
        """Raise ConfigError or DataError for what it could not be run with; asked before the first step of a run."""

    def effort(self, config: RunConfig, data: DataSet) -> Effort:
        """How much it has to do for each network, so that a plan can say how long; none where that is not known."""
        del config, data
        return Effort()

    def outside(self, config: RunConfig, data: DataSet) -> str:
        """Digest of files outside of the run and its data set that decide its results; empty where there are none."""
        return ""

    def begin(self, context: EvaluationContext) -> None:
        """Begin what `run` will wait for, where it can go on beside other suites; called before the first of them."""

    @abstractmethod
    def run(self, networks: Mapping[str, nn.Module], context: EvaluationContext) -> R:
        """Judge networks, fp32 in plain memory format and evaluation mode, by rank from "1"; leave them as they are."""

    @abstractmethod
    def figures(self, results: R) -> Mapping[str, Sequence[Figure]]:
        """The few figures that people look at first, by the network's rank; labels differ from other suites'."""

    @abstractmethod
    def section(self, results: R) -> SuiteSection:
        """A section of the report, for pages that know nothing of this suite."""


register = SUITES.register
"""Class decorator: make a suite available by its `name` (`core.registry`)."""


def suite(config: RunConfig, name: str) -> Suite[Any]:
    """The suite called `name` with its settings; raises ConfigError where there is none or a setting of it is wrong."""
    made: Suite[Any] = SUITES.load(name)(own_settings(SUITES, name, config.evaluate.options, "evaluate.options"))
    return made


def suites(config: RunConfig) -> list[Suite[Any]]:
    """The suites asked for, each once, in the order of `evaluate.suites`; raises ConfigError as `suite`."""
    return [suite(config, name) for name in dict.fromkeys(config.evaluate.suites)]


def published_root(config: RunConfig) -> Path | None:
    """Where the suites' published data sets lie: `evaluate.root`, or else the folder of torchvision's."""
    return config.evaluate.root or config.data.root
