"""Checkpoints of a run: tensors with their JSON state, the current one and one to fall back on."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowland.core.errors import LowlandWarning, RunError
from lowland.core.files import checked_json
from lowland.core.memory import memory_short
from lowland.store import inside
from lowland.store.elsewhere import Store
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
        inside.write_bytes(self.checkpoint_root, relative, content)
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
        root = self.checkpoint_root if kept else self.path
        for position, entry in enumerate(kept):
            content = intact(root, entry["file"], entry["sha256"])
            if content is None:
                continue
            if position:
                damaged = ", ".join(str(root / bad["file"]) for bad in kept[:position])
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
                if memory_short(error):
                    raise
                raise RunError(
                    f"{root / entry['file']} is no checkpoint ({str(error)[:200]}); "
                    f"{self._restart(entry['stage'])} to do that stage again"
                ) from error
        if kept:
            names = " and ".join(str(root / entry["file"]) for entry in kept)
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

    def keep_checkpoints_in(self, folder: Path | None) -> None:
        """Move the checkpoints to a folder that a person names (None: the run itself), or take them over there.

        A stop within leaves the run with all of its checkpoints, in one place or the other.

        Args:
            folder: The same as before where the run was moved: its folder there then becomes that of the run here.

        Warns:
            LowlandWarning: They are out of reach, and what they held is done again.

        Raises:
            RunError: The folder cannot be written, or holds the checkpoints of another run.
        """
        self._require_writer()
        before = Store.of(self.manifest)
        if before is not None and folder is not None and Path(before.folder).parent == folder:
            if before.marked():
                before.mark(self.path)
                return
            raise RunError(f"{before.folder} is not the folder that {self.path} left its checkpoints in; name another")
        after = None if folder is None else Store.make(folder, self.path)
        root = self.path if after is None else Path(after.folder)
        old: Path | None = self.path
        try:
            old = self.path if before is None else before.require(self.path)
        except RunError as error:
            if self.manifest["checkpoints"]:
                warnings.warn(f"{error.args[0]}; what they held is done again", LowlandWarning, stacklevel=2)
            self.manifest["checkpoints"], old = {}, None
        for kept in self.manifest["checkpoints"].values():
            for entry in kept:
                content = None if old is None else intact(old, entry["file"], entry["sha256"])
                if content is not None:  # a damaged one is told where it is needed
                    inside.write_bytes(root, entry["file"], content)
        self.manifest.pop("store", None)
        if after is not None:
            self.manifest["store"] = after.to_json()
        self._write_manifest()
        if old is not None and old != root:
            for file in inside.files(old, CHECKPOINTS):
                if file.endswith(".safetensors"):
                    inside.delete(old, file)
            if before is not None:
                before.leave()
