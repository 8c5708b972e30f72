"""A training in legs: each goes on from the state that the one before left, for about so many seconds.

A stopped training goes on to the same bytes (`training.loop`), so the legs may be of any length and in any processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lowland.core.monitor import Monitor
from lowland.store.tensors import from_safetensors, to_safetensors


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
