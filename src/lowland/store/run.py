"""The run directory: settings, stages, checkpoints and results of one run, consistent after a stop at any instant."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lowland.core.config import Config
from lowland.core.errors import LowlandWarning, RunError
from lowland.core.files import (
    checked_json,
    explained,
    sha256,
    sync_file,
    sync_folder,
    write_bytes,
    write_json,
    write_text,
)
from lowland.core.settings import dump
from lowland.store import lock
from lowland.store.manifest import (
    ARCHIVE,
    CHECKPOINTS,
    CONFIG,
    FORMAT,
    LOCK,
    MANIFEST,
    PROGRESS,
    STAGES,
    clear_temporary,
    inside,
    intact,
    members,
    new_manifest,
    now,
    read_config,
    read_manifest,
    require_vacant,
)
from lowland.store.progress import ProgressFile
from lowland.store.tensors import from_safetensors, to_safetensors

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["ARCHIVE", "CHECKPOINTS", "CONFIG", "FORMAT", "MANIFEST", "PROGRESS", "STAGES", "Run"]

_KEPT = 2
"""Checkpoints kept under one name: the current one, and one to fall back on where that is damaged."""


class Run:
    """One run directory. Make it with `Run.create` or `Run.open`, use it as a context manager or `close()` it.

    Layout: `config.yaml` (complete settings), `manifest.json` (stages, and the SHA-256 of every file), `progress.json`
    (live figures for `lowland status`), `archive.sqlite` (scored candidates), `checkpoints/`, and the stages' results.

    Every write is one atomic replacement, the manifest last, so that after a stop at any instant the manifest names
    only complete files. What is in the folder but not yet in the manifest is left over and is replaced or cleared.

    Attributes:
        path: The folder.
        config: Its settings.
        manifest: `format`, `lowland` (version), `created`, `stages` {name: status, started, seconds, files, facts},
            `checkpoints` {name: [{file, sha256, step, stage}, …] newest first}, `files` {relative path: sha256}.
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
        self._progress = ProgressFile(path / PROGRESS)

    @classmethod
    def create(cls, path: Path | str, config: Config) -> Run:
        """Create a run directory at `path`.

        Returns:
            The run, locked for writing.

        Raises:
            RunError: The folder already holds a run, or other files; or it cannot be written, or is in use.
        """
        path = Path(path)
        with explained(path):
            path.mkdir(parents=True, exist_ok=True)
            require_vacant(path)
            writer = lock.Lock(path / LOCK)
        try:
            with explained(path):
                require_vacant(path)
                clear_temporary(path)
                (path / CHECKPOINTS).mkdir(exist_ok=True)
                sync_folder(path.absolute().parent)
            manifest = new_manifest(path, config)
        except BaseException:
            writer.release()
            raise
        return cls(path, config, manifest, writer)

    @classmethod
    def open(cls, path: Path | str, *, read_only: bool = False) -> Run:
        """Open the run at `path`.

        Returns:
            The run, locked for writing unless `read_only`.

        Raises:
            RunError: It is no run directory, has another format, is damaged, or another process writes it.
        """
        path = Path(path)
        if not (path / MANIFEST).is_file():
            raise RunError(f"{path} is not a run directory: it holds no {MANIFEST}; give the folder of a `lowland` run")
        if read_only:
            manifest = read_manifest(path)
            return cls(path, read_config(path, manifest), manifest, None)
        writer = lock.Lock(path / LOCK)
        try:
            manifest = read_manifest(path)
            run = cls(path, read_config(path, manifest), manifest, writer)
            run._finish_changes()
            run._clear_leftovers()
        except BaseException:
            writer.release()
            raise
        return run

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

    # --- stages --------------------------------------------------------------------------------------------------

    def stage_done(self, name: str) -> bool:
        """Whether stage `name` is finished."""
        return bool(self._stage(name).get("status") == "done")

    def start_stage(self, name: str) -> None:
        """Begin stage `name`, or go on with it after an interruption: its seconds then add up.

        Raises:
            RunError: The stage is finished already, another is running, or the run is open for reading only.
        """
        self._require_writer()
        stage = self._stage(name)
        if stage.get("status") == "done":
            raise RunError(f"stage {name} of {self.path} is finished already; {self._restart(name)} to do it again")
        if self._running is not None:
            raise RunError(f"stage {name} cannot start while stage {self._running} of {self.path} is running")
        fresh = {"status": "running", "started": now(), "seconds": 0.0, "files": [], "facts": {}}
        self.manifest["stages"][name] = {**fresh, **stage}
        self._running = name
        self._resumed = time.monotonic()
        self._earlier_seconds = self.manifest["stages"][name]["seconds"]
        self._write_manifest()

    def finish_stage(self, name: str, files: Sequence[Path | str], facts: Mapping[str, Any]) -> None:
        """Note that the running stage `name` is finished.

        Args:
            name: The stage.
            files: Files or folders it made (relative to the run or inside it), flushed and checksummed here.
                Those written with `save_tensors` or `write_json` need not be named.
            facts: What it found, as JSON.

        Raises:
            RunError: The stage is not running, a file is missing, or `facts` is not JSON.
        """
        if self._running != name:
            raise RunError(f"stage {name} of {self.path} cannot be finished: it is not running")
        stage = self._stage(name)
        stage["facts"] = json.loads(checked_json(facts, f"the facts of stage {name}"))
        for relative in members(self.path, files):
            with explained(self.path / relative):
                sync_file(self.path / relative)
                sync_folder((self.path / relative).parent)
            self._note(relative, sha256(self.path / relative))
        stage["status"] = "done"
        self._write_manifest()
        self._running = None

    def reset_stage(self, name: str) -> None:
        """Clear stage `name` and all later ones with their files and checkpoints, so that they are done again.

        Resetting `supernet` or `search` also deletes the archive: its scores belong to the old weights.

        Raises:
            RunError: A stage is running, or the run is open for reading only.
        """
        self._require_writer()
        self._stage(name)
        if self._running is not None:
            raise RunError(f"stage {name} of {self.path} cannot be reset while stage {self._running} is running")
        self.manifest["reset"] = name
        self._write_manifest()
        self._finish_changes()

    def reconfigure(self, settings: Config, reset: str | None, keep: Sequence[str] = ()) -> None:
        """Replace the settings and clear stage `reset` and all later ones (None: none), both or neither.

        Which stages the changed settings decide, and which files and folders of the cleared stages (`keep`, relative)
        still hold what these stages would make again, is the caller's to know.

        Raises:
            RunError: A stage is running, or the run is open for reading only.
        """
        if self._running is not None:
            raise RunError(f"the settings of {self.path} cannot change while stage {self._running} is running")
        self.manifest["config"] = dump(settings)
        if reset is not None:
            self._stage(reset)
            self.manifest["reset"] = reset
            self.manifest["keep"] = list(keep)
        self._write_manifest()
        self._finish_changes()
        self.config = settings

    def _finish_changes(self) -> None:
        """Carry out what the manifest notes as begun; a stop within is made good when the run is next opened."""
        if "config" in self.manifest:
            write_text(self.path / CONFIG, self.manifest["config"])
            self.manifest["files"][CONFIG] = sha256(self.path / CONFIG)
            del self.manifest["config"]
            self._write_manifest()
        if "reset" in self.manifest:
            self._finish_reset()

    def _finish_reset(self) -> None:
        """Carry out the reset noted in the manifest; a stop within it is made good when the run is next opened."""
        gone = STAGES[STAGES.index(self.manifest["reset"]) :]
        stages, known = self.manifest["stages"], self.manifest["files"]
        kept = set(self.manifest.pop("keep", ()))
        made = [file for name in gone for file in stages.get(name, {}).get("files", ())]
        doomed = [file for file in made if not {file, file.rpartition("/")[0]} & kept] + [PROGRESS]
        if "search" in gone and ARCHIVE not in kept:
            doomed += [ARCHIVE, f"{ARCHIVE}-wal", f"{ARCHIVE}-shm"]
        for file in doomed:
            with explained(self.path / file):
                (self.path / file).unlink(missing_ok=True)
            known.pop(file, None)
        for name in gone:
            stages.pop(name, None)
        checkpoints = self.manifest["checkpoints"]
        for name in [name for name, kept in checkpoints.items() if kept[0]["stage"] in gone]:
            del checkpoints[name]
        del self.manifest["reset"]
        self._write_manifest()
        self._clear_leftovers()

    # --- checkpoints ---------------------------------------------------------------------------------------------

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
        relative = inside(self.path, f"{CHECKPOINTS}/{name}-{step}.safetensors")
        write_bytes(self.path / relative, content)
        digest = hashlib.sha256(content).hexdigest()
        newest = {"file": relative, "sha256": digest, "step": step, "stage": self._running}
        self.manifest["checkpoints"][name] = [newest, *kept[: _KEPT - 1]]
        self._write_manifest()
        self._delete(kept[_KEPT - 1 :])

    def load_checkpoint(self, name: str) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Read the newest intact checkpoint `name`.

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
            tensors, metadata = from_safetensors(content)
            return tensors, json.loads(metadata["state"])
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

    # --- results -------------------------------------------------------------------------------------------------

    def save_tensors(
        self, relative: str, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
    ) -> None:
        """Save tensors durably as a safetensors file of the running stage, with its checksum."""
        self._store(relative, to_safetensors(tensors, metadata or {}))

    def load_tensors(self, relative: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors (on the CPU) and metadata saved with `save_tensors`; RunError where missing or damaged."""
        return from_safetensors(self._load(relative))

    def write_json(self, relative: str, value: Any) -> None:
        """Write JSON durably as a file of the running stage, with its checksum; RunError where it holds NaN."""
        self._store(relative, checked_json(value, relative).encode())

    def read_json(self, relative: str) -> Any:
        """The value written with `write_json`; RunError where missing or damaged."""
        return json.loads(self._load(relative))

    def require_intact(self, relative: str) -> None:
        """Raise RunError, saying how to make it again, where a stage's file is missing or damaged."""
        self._load(relative)

    def verify(self) -> list[str]:
        """Files and checkpoints named in the manifest that are missing or not what was written, relative, sorted."""
        expected = dict(self.manifest["files"])
        expected |= {e["file"]: e["sha256"] for kept in self.manifest["checkpoints"].values() for e in kept}
        return sorted(file for file, digest in expected.items() if intact(self.path, file, digest) is None)

    def _store(self, relative: str, content: bytes) -> None:
        self._require_writer()
        relative = inside(self.path, relative)
        digest = hashlib.sha256(content).hexdigest()
        if relative in self.manifest["files"]:
            # A stop between the next two writes leaves the old content or the new: the manifest then knows both.
            self.manifest["pending"] = {"file": relative, "sha256": digest}
            self._write_manifest()
        write_bytes(self.path / relative, content)
        self.manifest.pop("pending", None)
        self._note(relative, digest)
        self._write_manifest()

    def _load(self, relative: str) -> bytes:
        relative = inside(self.path, relative)
        digest = self.manifest["files"].get(relative)
        if digest is None:
            raise RunError(f"{self.path} has no {relative} yet; run `lowland resume {self.path}` to finish the run")
        content = intact(self.path, relative, digest)
        if content is None:
            owners = [name for name, stage in self.manifest["stages"].items() if relative in stage["files"]]
            stage = owners[0] if owners else self._unfinished()
            raise RunError(
                f"{self.path / relative} is damaged or missing; put back a good copy, or {self._restart(stage)} "
                f"to make it again"
            )
        return content

    # --- progress ------------------------------------------------------------------------------------------------

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        rate: float | None,
        best: Mapping[str, Any] | None,
        lull: str | None = None,
    ) -> None:
        """Tell `lowland status` how far `stage` is: `done` of `total`, at `rate` per second, the best result so far.

        Cheap: at most one unflushed write a second, besides the first and the last of a stage. `best` holds no NaN.
        `lull` says in a sentence that the rate has collapsed, and what to do.
        """
        self._require_writer()
        self._progress.write(stage, done, total, rate, best, lull)

    def status(self) -> dict[str, Any]:
        """How the run stands: a JSON-like summary for people and programs.

        Returns:
            `path`, `created`, `lowland`; `active` (a process is writing it) and `writer` (its name, or None);
            `stages` {name: {status: pending|running|interrupted|done, seconds, facts}} for every stage in order;
            `progress` (as last given to `progress`, or None); `seconds_left` of the running stage (None: unknown);
            `best` (the best result last reported, or None).
        """
        active = lock.held(self.path / LOCK)
        stages = {}
        for name in STAGES:
            stage = self._stage(name)
            status = stage.get("status", "pending")
            if status == "running" and not active:
                status = "interrupted"
            stages[name] = {"status": status, "seconds": stage.get("seconds", 0.0), "facts": stage.get("facts", {})}
        progress, left = self._progress.read(), None
        if progress is not None and progress["rate"] and stages[progress["stage"]]["status"] == "running":
            left = max(0, progress["total"] - progress["done"]) / progress["rate"]
        return {
            "path": str(self.path),
            "created": self.manifest["created"],
            "lowland": self.manifest["lowland"],
            "active": active,
            "writer": lock.owner(self.path / LOCK) or None if active else None,
            "stages": stages,
            "progress": progress,
            "seconds_left": left,
            "best": progress["best"] if progress is not None else None,
        }

    # --- within --------------------------------------------------------------------------------------------------

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

    def _write_manifest(self) -> None:
        self._require_writer()
        if self._running is not None:
            spent = time.monotonic() - self._resumed
            self.manifest["stages"][self._running]["seconds"] = round(self._earlier_seconds + spent, 3)
        write_json(self.path / MANIFEST, self.manifest)

    def _note(self, relative: str, digest: str) -> None:
        self.manifest["files"][relative] = digest
        if self._running is not None:
            of_stage = self.manifest["stages"][self._running]["files"]
            if relative not in of_stage:
                of_stage.append(relative)

    def _delete(self, entries: Sequence[Mapping[str, Any]]) -> None:
        for entry in entries:
            with explained(self.path / entry["file"]):
                (self.path / entry["file"]).unlink(missing_ok=True)

    def _clear_leftovers(self) -> None:
        """Delete what a stop left behind: temporary files, and checkpoints that the manifest does not name."""
        named = {entry["file"] for kept in self.manifest["checkpoints"].values() for entry in kept}
        with explained(self.path):
            clear_temporary(self.path)
            for path in (self.path / CHECKPOINTS).rglob("*.safetensors"):
                if path.relative_to(self.path).as_posix() not in named:
                    path.unlink()
