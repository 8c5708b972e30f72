"""A training in legs: each goes on from the state that the one before left, for about so many seconds.

A stopped training goes on to the same bytes (`training.loop`), so the legs may be of any length and in any processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lowland.core.errors import InterruptedRun, NotFiniteError
from lowland.core.monitor import Monitor
from lowland.store.tensors import from_safetensors, to_safetensors
from lowland.training.loop import History

LEG_SECONDS = 10.0
"""Most seconds of training in one leg: what is lost with a worker, and how long a stop may take to be heard."""

HERE_SECONDS = 2.0
"""The same in the calling process, which trains while workers start and then has to hand over."""


class Baton:
    """The state of one training in memory, in place of a run directory: a safetensors file's content.

    Args:
        content: Where it stands; None: at its beginning.
    """

    def __init__(self, content: bytes | None) -> None:
        self.content = content

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Keep the newest state."""
        self.content = to_safetensors(tensors, {"state": json.dumps(state)})

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The newest state, or None."""
        if self.content is None:
            return None
        tensors, metadata = from_safetensors(self.content)
        return tensors, json.loads(metadata["state"])


class Leg(Monitor):
    """Asks a training for a stop, with a checkpoint, after so many seconds.

    Args:
        seconds: From now on; a leg has at least one step.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def stopping(self) -> bool:  # type: ignore[override]
        """Whether they are over."""
        return time.monotonic() >= self._end


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a leg gave.

    Attributes:
        state: Where the training stands now.
        whole: Whether its last step is done.
        seconds: Training time until now, over all legs; known when it is whole.
        loss: Mean loss of every epoch, likewise.
        weights: Of the network that is trained to its end, where the training has one.
        failed: Why it cannot go on.
    """

    state: bytes | None = None
    whole: bool = False
    seconds: float = 0.0
    loss: tuple[float, ...] = ()
    weights: bytes | None = None
    failed: str | None = None


def one_leg(train: Callable[[Baton, Monitor], History], state: bytes | None, leg: Monitor) -> Trained:
    """Train from a state until `leg` asks for a stop.

    Args:
        train: (checkpoints, monitor) → what was seen; the training, from its last checkpoint.
        state: Where it stands, None: at its beginning.
        leg: Such as `Leg`.

    Returns:
        Where it stands then; that it failed where it diverged.
    """
    baton = Baton(state)
    try:
        history = train(baton, leg)
    except InterruptedRun:
        return Trained(state=baton.content)
    except NotFiniteError as error:
        return Trained(failed=str(error))
    return Trained(state=baton.content, whole=True, seconds=history.seconds, loss=tuple(history.loss))
