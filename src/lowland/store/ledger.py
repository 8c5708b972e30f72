"""The ledger of a run: its settings and manifest, the lock of its one writer, and what each stage has noted."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lowland.core.config import Config
from lowland.core.errors import RunError
from lowland.store import inside, lock
from lowland.store.elsewhere import Store
from lowland.store.manifest import CONFIG, FORMAT, MANIFEST, STAGES, manifest_text, renewal


class Ledger:
    """What a run directory knows of itself. Every change ends with the manifest, written in one atomic replacement.

    Attributes:
        path: The folder.
        config: Its settings.
        manifest: `format`, `lowland` (version), `created`, `stages` {name: status, started, seconds, files, facts},
            `checkpoints` {name: [{file, sha256, step, stage}, …] newest first}, `files` {relative path: sha256},
            `archive` {sha256: of what the archive holds, bytes: of its file} or None.
        read_only: Whether writing is refused (no lock is then taken).
    """

    def __init__(self, path: Path, config: Config, manifest: dict[str, Any], writer: lock.Lock | None) -> None:
        self.path = path
        self.config = config
        self.manifest = manifest
        self.read_only = writer is None
        self._lock = writer
        self._running: str | None = None
        self._resumed = time.monotonic()
        self._earlier_seconds = 0.0

    def close(self) -> None:
        """Give the lock back, noting the seconds spent so far; calling it again does nothing."""
        if self._lock is not None:
            try:
                if self._running is not None:
                    self._write_manifest()
            finally:
                self._running = None
                self._lock.release()
                self._lock = None
                self.read_only = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stage_done(self, name: str) -> bool:
        """Whether stage `name` is finished."""
        return bool(self._stage(name).get("status") == "done")

    def _stage(self, name: str) -> dict[str, Any]:
        if name not in STAGES:
            raise RunError(f"unknown stage {name!r}; the stages are {', '.join(STAGES)}")
        stage: dict[str, Any] = self.manifest["stages"].get(name, {})
        return stage

    def _unfinished(self) -> str:
        return next((name for name in STAGES if not self.stage_done(name)), STAGES[0])

    def _restart(self, stage: str) -> str:
        return f"run `lowland resume {self.path} --restart {stage}`"

    def _require_writer(self) -> None:
        if self._lock is None:
            raise RunError(f"run {self.path} was opened for reading only, or is closed: nothing can be written to it")

    def _renew(self) -> None:
        """Make a run of an earlier format one of today, before anything else is written."""
        if self.manifest["format"] != FORMAT:
            self.manifest |= renewal(self.path, self.manifest, self.config)
            inside.write_text(self.path, MANIFEST, manifest_text(self.manifest))
            self._finish_settings()

    def _finish_settings(self) -> None:
        """Write the settings noted in the manifest; a stop within is made good when the run is next opened."""
        if "config" in self.manifest:
            inside.write_text(self.path, CONFIG, self.manifest["config"])
            self.manifest["files"][CONFIG] = inside.sha256(self.path, CONFIG)
            del self.manifest["config"]
            self._write_manifest()

    def _write_manifest(self) -> None:
        self._require_writer()
        self._renew()
        if self._running is not None:
            spent = time.monotonic() - self._resumed
            self.manifest["stages"][self._running]["seconds"] = round(self._earlier_seconds + spent, 3)
        inside.write_text(self.path, MANIFEST, manifest_text(self.manifest))

    def _note(self, relative: str, digest: str) -> None:
        self.manifest["files"][relative] = digest
        if self._running is not None:
            of_stage = self.manifest["stages"][self._running]["files"]
            if relative not in of_stage:
                of_stage.append(relative)

    @property
    def checkpoint_root(self) -> Path:
        """The folder that `checkpoints/` lies in: the run itself, or where `checkpoints_to` has it.

        Raises:
            RunError: The latter is out of reach or not this run's, or was named by the settings alone.
        """
        store = Store.of(self.manifest)
        wanted = self.config.checkpoints_to
        if (None if wanted is None else str(wanted)) != (None if store is None else str(Path(store.folder).parent)):
            raise RunError(
                f"the settings of {self.path} have checkpoints_to={wanted}, and its manifest notes no such folder; say "
                f"where they are to lie: `lowland resume {self.path} --checkpoints-to {wanted or self.path}`"
            )
        return self.path if store is None else store.require(self.path)

    def _delete(self, entries: Sequence[Mapping[str, Any]]) -> None:
        if entries:
            root = self.checkpoint_root
            for entry in entries:
                inside.delete(root, entry["file"])
