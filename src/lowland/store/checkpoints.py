"""Checkpoints of a run: tensors with their JSON state, the current one and one to fall back on."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lowland.core.errors import LowlandWarning, RunError
from lowland.core.files import checked_json
from lowland.store import inside
from lowland.store.ledger import Ledger
from lowland.store.manifest import CHECKPOINTS, intact
from lowland.store.tensors import from_safetensors, to_safetensors

if TYPE_CHECKING:
    from torch import Tensor

_KEPT = 2
"""Checkpoints kept under one name: the current one, and one to fall back on where that is damaged."""


class Checkpoints(Ledger):
    """A run's checkpoints by name."""

    def save_checkpoint(self, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Save tensors and their JSON state durably as the current checkpoint `name`; one older one is kept.

        Raises:
            RunError: No stage is running, the disk is full or not writable, or `state` holds what JSON has not (NaN).
        """
        self._require_writer()
        if self._running is None:
            raise RunError(f"checkpoint {name!r} of {self.path} belongs to no stage: start a stage before saving it")
        text = checked_json(state, f"the state of checkpoint {name!r}")
        content = to_safetensors(tensors, {"state": text})
        kept = self.manifest["checkpoints"].get(name, [])
        step = kept[0]["step"] + 1 if kept else 1
        relative = inside.named(self.path, f"{CHECKPOINTS}/{name}-{step}.safetensors")
        inside.write_bytes(self.path, relative, content)
        digest = hashlib.sha256(content).hexdigest()
        newest = {"file": relative, "sha256": digest, "step": step, "stage": self._running}
        self.manifest["checkpoints"][name] = [newest, *kept[: _KEPT - 1]]
        self._write_manifest()
        self._delete(kept[_KEPT - 1 :])

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Load the newest intact checkpoint `name`.

        Returns:
            Its tensors (on the CPU) and state; None where there is none.

        Warns:
            LowlandWarning: The newest one is damaged, and the one before it was taken.

        Raises:
            RunError: All kept checkpoints are damaged.
        """
        kept = self.manifest["checkpoints"].get(name, [])
        for position, entry in enumerate(kept):
            content = intact(self.path, entry["file"], entry["sha256"])
            if content is None:
                continue
            if position:
                damaged = ", ".join(str(self.path / bad["file"]) for bad in kept[:position])
                warnings.warn(
                    f"checkpoint {damaged} is damaged or missing: going on from the one before it, {entry['file']}",
                    LowlandWarning,
                    stacklevel=2,
                )
                if not self.read_only:
                    self.manifest["checkpoints"][name] = kept[position:]
                    self._write_manifest()
                    self._delete(kept[:position])
            try:
                tensors, metadata = from_safetensors(content)
                return tensors, json.loads(metadata["state"])
            except Exception as error:  # safetensors raises its own kinds for a file that is none
                raise RunError(
                    f"{self.path / entry['file']} is no checkpoint ({str(error)[:200]}); "
                    f"{self._restart(entry['stage'])} to do that stage again"
                ) from error
        if kept:
            names = " and ".join(str(self.path / entry["file"]) for entry in kept)
            again = self._restart(kept[0]["stage"])
            raise RunError(f"checkpoint {names} is damaged or missing; {again} to do that stage again")
        return None

    def drop_checkpoint(self, name: str) -> None:
        """Delete all checkpoints of `name`, as when its stage is finished; nothing happens where there are none."""
        self._require_writer()
        kept = self.manifest["checkpoints"].pop(name, [])
        if kept:
            self._write_manifest()
            self._delete(kept)
