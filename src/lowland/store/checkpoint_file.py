"""The checkpoint of a training that belongs to no run: one file, replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowland.core.errors import RunError
from lowland.core.files import checked_json
from lowland.core.memory import memory_short
from lowland.store import inside
from lowland.store.tensors import from_safetensors, to_safetensors

if TYPE_CHECKING:
    from torch import Tensor


class CheckpointFile:
    """Keeps the newest state of one training at `relative` in the folder `root`, and the training's name with it.

    Args:
        root: The folder.
        relative: The file in it.
        task: What decides the training beside its name: a state that was kept with another one is none of it.
    """

    def __init__(self, root: Path, relative: str, task: str = "") -> None:
        self.root = root
        self.relative = relative
        self.task = task

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the state, durably; RunError where the disk is full or not writable."""
        text = checked_json(
            {"name": name, "task": self.task, "state": dict(state)}, f"the state of checkpoint {name!r}"
        )
        inside.write_bytes(self.root, self.relative, to_safetensors(tensors, {"state": text}))

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read the state.

        Returns:
            Tensors (on the CPU) and state, or None where there are none of this training.

        Raises:
            RunError: It is damaged.
        """
        try:
            content = inside.read(self.root, self.relative)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            tensors, metadata = from_safetensors(content)
            kept = json.loads(metadata["state"])
        except Exception as error:  # safetensors raises its own kinds for a damaged header
            if memory_short(error):
                raise
            raise RunError(
                f"checkpoint {self.root / self.relative} is damaged ({error}); delete it to begin that training anew"
            ) from error
        if kept["name"] != name or kept.get("task", "") != self.task:
            return None
        return tensors, kept["state"]

    def drop(self) -> None:
        """Delete it, where it is there."""
        inside.delete(self.root, self.relative)
