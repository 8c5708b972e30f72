"""Results of a run: files of its stages, each with its checksum in the manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lowland.core.errors import RunError
from lowland.core.files import checked_json
from lowland.core.memory import memory_short
from lowland.store import inside
from lowland.store.ledger import Ledger
from lowland.store.manifest import holds, intact
from lowland.store.manifest_check import Fault, parsed
from lowland.store.tensors import from_safetensors, to_safetensors

if TYPE_CHECKING:
    from torch import Tensor


class Results(Ledger):
    """The files that a run's stages made."""

    def save_tensors(
        self, relative: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Save tensors durably as a safetensors file of the running stage, with its checksum."""
        self._store(relative, to_safetensors(tensors, metadata or {}))

    def load_tensors(self, relative: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors (on the CPU) and metadata saved with `save_tensors`; RunError where missing or damaged."""
        content = self._load(relative)
        try:
            return from_safetensors(content)
        except Exception as error:  # safetensors raises its own kinds for a file that is none
            if memory_short(error):
                raise
            raise RunError(
                f"{self.path / relative} holds no tensors ({str(error)[:200]}); {self._remake(relative)}"
            ) from error

    def write_json(self, relative: str, value: Any) -> None:
        """Write JSON durably as a file of the running stage, with its checksum; RunError where it holds NaN."""
        self._store(relative, checked_json(value, relative).encode())

    def rewrite_text(self, relative: str, text: str) -> None:
        """Replace a text file that an earlier stage made, durably and with its checksum; it stays that stage's."""
        content = text.encode()
        if hashlib.sha256(content).hexdigest() != self.manifest["files"].get(relative):
            self._replace(relative, content)
            self._write_manifest()

    def read_json(self, relative: str) -> Any:
        """The value written with `write_json`; RunError where missing or damaged."""
        content = self._load(relative)
        try:
            return parsed(content)
        except Fault as error:
            raise RunError(f"{self.path / relative} is no JSON ({error}); {self._remake(relative)}") from error

    def delete(self, files: Sequence[str]) -> None:
        """Forget results (relative paths) and delete those that are there, listed in the manifest or not."""
        self._require_writer()
        gone = {inside.named(self.path, file) for file in files}
        inside.require(self.path, gone)
        known = {file for file in gone if self.manifest["files"].pop(file, None) is not None}
        for stage in self.manifest["stages"].values():
            stage["files"] = [file for file in stage["files"] if file not in known]
        if known:
            self._write_manifest()
        for file in gone:
            inside.delete(self.path, file)

    def require_intact(self, relative: str) -> None:
        """Raise RunError, saying how to make it again, where a stage's file is missing or damaged."""
        relative = inside.named(self.path, relative)
        if not holds(self.path, relative, self._digest(relative), self.manifest.get("archive")):
            raise RunError(self._damaged(relative))

    def verify(self) -> list[str]:
        """Files and checkpoints named in the manifest that are missing or not what was written, relative, sorted."""
        known, archive = self.manifest["files"], self.manifest.get("archive")
        wrong = [file for file, digest in known.items() if not holds(self.path, file, digest, archive)]
        kept = {e["file"]: e["sha256"] for each in self.manifest["checkpoints"].values() for e in each}
        root = self.checkpoint_root if kept else self.path
        return sorted(wrong + [file for file, digest in kept.items() if not holds(root, file, digest)])

    def _store(self, relative: str, content: bytes) -> None:
        relative, digest = self._replace(relative, content)
        self._note(relative, digest)
        self._write_manifest()

    def _replace(self, relative: str, content: bytes) -> tuple[str, str]:
        self._require_writer()
        relative = inside.named(self.path, relative)
        digest = hashlib.sha256(content).hexdigest()
        if relative in self.manifest["files"]:
            # A stop between the next two writes leaves the old content or the new: the manifest then knows both.
            self.manifest["pending"] = {"file": relative, "sha256": digest}
            self._write_manifest()
        inside.write_bytes(self.path, relative, content)
        self.manifest.pop("pending", None)
        self.manifest["files"][relative] = digest
        return relative, digest

    def _load(self, relative: str) -> bytes:
        relative = inside.named(self.path, relative)
        content = intact(self.path, relative, self._digest(relative))
        if content is None:
            raise RunError(self._damaged(relative))
        return content

    def _digest(self, relative: str) -> str:
        digest: str | None = self.manifest["files"].get(relative)
        if digest is None:
            raise RunError(f"{self.path} has no {relative} yet; run `lowland resume {self.path}` to finish the run")
        return digest

    def _damaged(self, relative: str) -> str:
        return f"{self.path / relative} is damaged or missing; {self._remake(relative)}"

    def _remake(self, relative: str) -> str:
        owners = [name for name, stage in self.manifest["stages"].items() if relative in stage["files"]]
        return f"put back a good copy, or {self._restart(owners[0] if owners else self._unfinished())} to make it again"
