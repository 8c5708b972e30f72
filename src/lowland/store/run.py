"""The run directory: settings, stages, checkpoints and results of one run, consistent after a stop at any instant."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lowland.core.config import Config
from lowland.core.errors import RunError
from lowland.core.files import checked_json, explained, sync_folder
from lowland.core.settings import dump
from lowland.store import inside, lock
from lowland.store.checkpoints import Checkpoints
from lowland.store.earlier import Earlier
from lowland.store.elsewhere import Store
from lowland.store.manifest import (
    ARCHIVE,
    CHECKPOINTS,
    CONFIG,
    DATA,
    FORMAT,
    INCOMING,
    LOCK,
    MANIFEST,
    NETWORK,
    PROGRESS,
    STAGES,
    archive_bytes,
    digest,
    members,
    new_manifest,
    now,
    read_config,
    read_manifest,
    require_vacant,
)
from lowland.store.progress import ProgressFile
from lowland.store.results import Results
from lowland.store.status import status

__all__ = ["ARCHIVE", "CHECKPOINTS", "CONFIG", "DATA", "FORMAT", "MANIFEST", "PROGRESS", "STAGES", "Run"]


class Run(Checkpoints, Results, Earlier):
    """One run directory. Make it with `Run.create` or `Run.open`, use it as a context manager or `close()` it.

    Layout: `config.yaml` (complete settings), `manifest.json` (stages, and the SHA-256 of every file), `progress.json`
    (live figures for `lowland status`), `archive.sqlite` (scored candidates), `checkpoints/`, and the stages' results.

    Every write is one atomic replacement, the manifest last, so that after a stop at any instant the manifest names
    only complete files. What is in the folder but not yet in the manifest is left over and is replaced or cleared.
    """

    def __init__(self, path: Path, config: Config, manifest: dict[str, Any], writer: lock.Lock | None) -> None:
        super().__init__(path, config, manifest, writer)
        self._progress = ProgressFile(path)

    @classmethod
    def create(cls, path: Path | str, config: Config, data: Callable[[Path], None] | None = None) -> Run:
        """Create a run directory at `path`.

        Args:
            path: The folder to make, or an empty one.
            config: Complete settings.
            data: Writes arrays that were given in memory into a file, which the run keeps as data.npz.

        Returns:
            The run, locked for writing.

        Raises:
            RunError: The folder already holds a run, or other files; or it cannot be written, or is in use.
        """
        path = Path(path)
        with explained(path):
            inside.make_root(path)
            require_vacant(path)
            writer = lock.Lock(path / LOCK)
        try:
            with explained(path):
                require_vacant(path)
                inside.clear_temporary(path)
                inside.make_folder(path, CHECKPOINTS)
                sync_folder(path.absolute().parent)
            store = None if config.checkpoints_to is None else Store.make(config.checkpoints_to, path)
            manifest = new_manifest(path, config, data, None if store is None else store.to_json())
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

    # --- stages --------------------------------------------------------------------------------------------------

    def start_stage(self, name: str, processes: int = 1) -> None:
        """Begin stage `name`, or go on with it after an interruption: its seconds then add up.

        Args:
            name: The stage.
            processes: How many train together (torchrun); noted, since weights depend on it.

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
        self.manifest["stages"][name] = {**fresh, **stage, "status": "running", "processes": processes}
        self._running = name
        self._resumed = time.monotonic()
        self._earlier_seconds = self.manifest["stages"][name]["seconds"]
        self._write_manifest()

    def require_processes(self, name: str, processes: int) -> None:
        """Raise RunError where stage `name` has a checkpoint that another number of processes made together."""
        begun = self._stage(name).get("processes", processes)
        kept = self.manifest["checkpoints"].values()
        if begun != processes and any(entries[0]["stage"] == name for entries in kept):
            raise RunError(
                f"stage {name} of {self.path} was begun on {begun} process{'es' if begun > 1 else ''} and would end "
                f"with other weights on {processes}: start it as before, or {self._restart(name)} to do it anew"
            )

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
            inside.make_durable(self.path, relative)
            found = digest(self.path, relative)
            self._note(relative, found)
            if relative == ARCHIVE:
                self.manifest["archive"] = archive_bytes(self.path, found)
        stage["status"] = "done"
        self._write_manifest()
        self._running = None

    def keep_plan(self, seconds: Mapping[str, float]) -> None:
        """Keep how long each stage is expected to take, for the report to compare."""
        self._require_writer()
        self.manifest["plan"] = {stage: round(time, 1) for stage, time in seconds.items()}
        self._write_manifest()

    def reset_stage(self, name: str) -> None:
        """Clear stage `name` and all later ones with their files and checkpoints, so that they are done again.

        The delivered networks stay where they are until new ones are complete (`store.earlier`).
        Resetting `supernet` or `search` also deletes the archive: its scores belong to the old weights.

        Raises:
            RunError: A stage is running, or the run is open for reading only.
        """
        self._require_writer()
        self._stage(name)
        if self._running is not None:
            raise RunError(f"stage {name} of {self.path} cannot be reset while stage {self._running} is running")
        self._supersede(name, ())
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
        self._require_writer()
        self._renew()
        self.manifest["config"] = dump(settings)
        if reset is not None:
            self._stage(reset)
            self._supersede(reset, keep)
            self.manifest["reset"] = reset
            self.manifest["keep"] = list(keep)
        self._write_manifest()
        self._finish_changes()
        self.config = settings

    def _finish_changes(self) -> None:
        """Carry out what the manifest notes as begun; a stop within is made good when the run is next opened."""
        if {"config", "reset", "exchange"} & self.manifest.keys():
            self._renew()
        self._finish_settings()
        if "exchange" in self.manifest:
            self._finish_exchange()
        if "reset" in self.manifest:
            self._finish_reset()

    def _finish_reset(self) -> None:
        """Carry out the reset noted in the manifest; a stop within it is made good when the run is next opened."""
        gone = STAGES[STAGES.index(self.manifest["reset"]) :]
        stages, known = self.manifest["stages"], self.manifest["files"]
        kept = set(self.manifest.pop("keep", ()))
        made = [file for name in gone for file in stages.get(name, {}).get("files", ())]
        earlier = set(self.manifest.get("earlier", {}).get("files", ()))  # until others take their place
        doomed = [file for file in made if not {file, file.rpartition("/")[0]} & kept and file not in earlier]
        doomed.append(PROGRESS)
        if "train" in gone and NETWORK not in kept:
            doomed += inside.files(self.path, INCOMING)
        if "search" in gone and ARCHIVE not in kept:
            doomed += [ARCHIVE, f"{ARCHIVE}-wal", f"{ARCHIVE}-shm"]
        inside.require(self.path, doomed)  # all of them, before any is deleted
        for file in doomed:
            inside.delete(self.path, file)
            known.pop(file, None)
        for name in gone:
            held = [
                file for file in stages.pop(name, {}).get("files", ()) if file not in doomed and file not in earlier
            ]
            if held:  # still this stage's: the next reset must find them
                stages[name] = {"status": "pending", "files": held}
        checkpoints = self.manifest["checkpoints"]
        for name in [name for name, kept in checkpoints.items() if kept[0]["stage"] in gone]:
            del checkpoints[name]
        del self.manifest["reset"]
        self._write_manifest()
        self._clear_leftovers()

    def _clear_leftovers(self) -> None:
        """Delete what a stop left behind: temporary files, and checkpoints that the manifest does not name."""
        named = {entry["file"] for kept in self.manifest["checkpoints"].values() for entry in kept}
        with explained(self.path):
            inside.clear_temporary(self.path)
            try:
                root = self.checkpoint_root
            except RunError:
                return  # what needs a checkpoint says so
            for file in inside.files(root, CHECKPOINTS):
                if file.endswith(".tmp") or (file.endswith(".safetensors") and file not in named):
                    inside.delete(root, file)

    # --- progress ------------------------------------------------------------------------------------------------

    def progress(
        self,
        stage: str,
        done: int,
        total: int,
        rate: float | None,
        best: Mapping[str, Any] | None,
        lull: str | None = None,
        workers: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell `lowland status` how far `stage` is: `done` of `total`, at `rate` per second, the best result so far.

        Cheap: at most one unflushed write a second, besides the first and the last of a stage. `best` holds no NaN.
        `lull` says in a sentence that the rate has collapsed, and what to do; `workers` how those that score stand.
        """
        self._require_writer()
        self._progress.write(stage, done, total, rate, best, lull, workers)

    def status(self) -> dict[str, Any]:
        """How the run stands: a JSON-like summary for people and programs (`store.status`)."""
        return status(self, self._progress.read()) | {"progress_lost": self._progress.lost()}
