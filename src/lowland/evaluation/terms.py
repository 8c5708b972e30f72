"""The terms of a contest: what is the same for all its networks, and the corrupted images they are judged on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from lowland.core.config import RetrainConfig
from lowland.core.device import Compute
from lowland.core.monitor import Monitor
from lowland.core.threads import threads_of
from lowland.data import CorruptedImages, DataSet
from lowland.evaluation.pool import EvaluationPool
from lowland.spaces.reference import Reference


@dataclass(frozen=True, kw_only=True)
class ShiftedImages:
    """Corrupted test images to judge on.

    Attributes:
        images: The images.
        names: Corruptions.
        severities: Levels of each.
        limit: Only the first so many images; None: all.
        source: Where they come from, so that others are not taken for them; it is not kept in plain text.
        suite: Whose images they are.
        delivered: (corruption, severity) → which of them the delivered network names rightly, a text of 0 and 1, where
            the run has judged that by now, else None; None: nobody judges it but the contest.
    """

    images: CorruptedImages
    names: tuple[str, ...]
    severities: tuple[int, ...]
    limit: int | None = None
    source: str = ""
    suite: str = "corruptions"
    delivered: Callable[[str, int], str | None] | None = None

    @property
    def kinds(self) -> list[tuple[str, int]]:
        """Corruptions, each at every severity."""
        return [(name, severity) for name in self.names for severity in self.severities]

    @property
    def count(self) -> int:
        """Images judged, M."""
        return min(len(self.images), self.limit or len(self.images))


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is the same for all networks of a contest.

    Attributes:
        recipe: How each is trained.
        data: On what, and the test images.
        compute: Where.
        seed: Of the first training of each network; the others have the next ones.
        batch_size: Images per forward pass when judging.
        shifted: Corrupted test images; None: judged on clean ones only.
        checkpoint_seconds: Time between two checkpoints.
        monitor: Hears how it goes, and asks for a stop.
        threads: CPU threads of each training, and of judging under corruption: the same wherever it is done, since
            they decide the last bits; None: those of the process.
        pool: Where trainings and judgements are carried out side by side; None: here, one after the other.
    """

    recipe: RetrainConfig
    data: DataSet
    compute: Compute
    seed: int
    batch_size: int
    shifted: ShiftedImages | None
    checkpoint_seconds: float
    monitor: Monitor
    threads: int | None = None
    pool: EvaluationPool | None = None

    @property
    def threaded(self) -> AbstractContextManager[None]:
        """Within the block torch computes with these threads."""
        return nullcontext() if self.threads is None else threads_of(self.threads)

    def followed_by(self, reference: Reference) -> RetrainConfig:
        """The recipe without what this network lacks."""
        return self.recipe.model_copy(update=dict.fromkeys(self.lacking(reference), 0.0))

    def lacking(self, reference: Reference) -> tuple[str, ...]:
        """Settings that the recipe has and this network cannot follow."""
        return tuple(name for name in reference.lacks if getattr(self.recipe, name))
