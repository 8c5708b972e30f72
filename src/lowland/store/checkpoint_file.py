"""The checkpoint of a training that belongs to no run: one file, replaced in one step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowland.core.errors import RunError
from lowland.core.files import checked_json, explained, write_bytes
from lowland.store.tensors import from_safetensors, to_safetensors

if TYPE_CHECKING:
    from torch import Tensor


class CheckpointFile:
    """Keeps the newest state of one training at `path`; it holds the name of the training it belongs to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Replace the state, durably; RunError where the disk is full or not writable."""
        text = checked_json({"name": name, "state": dict(state)}, f"the state of checkpoint {name!r}")
        write_bytes(self.path, to_safetensors(tensors, {"state": text}))

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors (on the CPU) and state, or None where there are none of this name; RunError where it is damaged."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            tensors, metadata = from_safetensors(content)
            kept = json.loads(metadata["state"])
        except Exception as error:  # safetensors raises its own kinds for a damaged header
            raise RunError(
                f"checkpoint {self.path} is damaged ({error}); delete it to begin that training anew"
            ) from error
        return (tensors, kept["state"]) if kept["name"] == name else None

    def drop(self) -> None:
        """Delete it, where it is there."""
        with explained(self.path):
            self.path.unlink(missing_ok=True)
