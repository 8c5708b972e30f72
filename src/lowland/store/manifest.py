"""The layout of a run directory: its file names, its version, and how its manifest and settings are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lowland._version import __version__
from lowland.core import settings
from lowland.core.config import Config, build
from lowland.core.errors import ConfigError, RunError
from lowland.core.files import json_text
from lowland.store import database, inside
from lowland.store.manifest_check import MOST_BYTES, Fault, names, parsed, require_sound
from lowland.store.translation import as_they_were, from_format_1

FORMAT = 2
"""Version of the layout below, written into `manifest.json`.

- 1: settings of every measure side by side in `measure`, precision of scores as it was set.
- 2: settings of each measure in `measure.options`, resolved precision.

A run of format 1 is read as one of today; the first write makes it one (`renewal`).
"""

READABLE = (1, FORMAT)

STAGES = ("supernet", "search", "train", "evaluate", "report")
"""The stages of a run in their order: each builds on those before it."""

CONFIG = "config.yaml"
MANIFEST = "manifest.json"
ARCHIVE = "archive.sqlite"
PROGRESS = "progress.json"
DATA = "data.npz"
"""Arrays that were given in memory, which no other file holds."""

CHECKPOINTS = "checkpoints"
NETWORK, NETWORKS = "network", "networks"
"""Folders of the delivered network, and of those of the further ranks."""

INCOMING = "incoming"
"""Where networks are made before they take the place of earlier ones."""

LOCK = ".lock"


def now() -> str:
    """The present time in UTC, to the second, as ISO 8601 text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def require_vacant(path: Path) -> None:
    """Raise RunError unless `path` is empty, but for what a creation stopped half-way leaves behind."""
    if (path / MANIFEST).exists():
        raise RunError(f"{path} already holds a run: continue it with `lowland resume {path}`, or choose another --out")
    own = {LOCK, CONFIG, CHECKPOINTS} | ({DATA} if (path / LOCK).exists() else set())
    others = sorted(p.name for p in path.iterdir() if p.name not in own and not p.name.endswith(".tmp"))
    if others:
        raise RunError(f"{path} is not empty and not a run (it holds {others[0]!r}); choose another --out")


def new_manifest(
    path: Path, config: Config, data: Callable[[Path], None] | None = None, store: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write the settings and the manifest of a new run, the manifest last: it is what makes a folder a run.

    Args:
        path: The folder.
        config: The settings.
        data: Writes arrays that were given in memory into a file; None where there are none.
        store: Where its checkpoints lie (`store.elsewhere`); None: in it.

    Returns:
        The manifest.
    """
    inside.write_text(path, CONFIG, settings.dump(config))
    if data is not None:
        inside.require(path, [DATA])
        data(path / DATA)  # in a folder that is no run yet, so that a part of a file harms nobody
        inside.make_durable(path, DATA)
    made = (CONFIG,) if data is None else (CONFIG, DATA)
    manifest = {
        "format": FORMAT,
        "lowland": __version__,
        "created": now(),
        "stages": {},
        "checkpoints": {},
        "files": {name: inside.sha256(path, name) for name in made},
    }
    if store is not None:
        manifest["store"] = store
    inside.write_text(path, MANIFEST, manifest_text(manifest))
    return manifest


def manifest_text(manifest: Mapping[str, Any]) -> str:
    """The manifest as it is written: with `sha256`, of its text without it. Those of before had none."""
    return json_text(dict(manifest) | {"sha256": hashlib.sha256(json_text(dict(manifest)).encode()).hexdigest()})


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and check the manifest of the run at `path`.

    Returns:
        Its values.

    Raises:
        RunError: It is unreadable, damaged or of another format, or names what is not the run's.
    """
    file = path / MANIFEST
    try:
        manifest = parsed(inside.read(path, MANIFEST, MOST_BYTES))
    except PermissionError as error:
        raise RunError(f"no permission to read {file}; change its permissions") from error
    except (OSError, Fault) as error:
        raise RunError(f"{file} is damaged ({error}); put back a good copy, or start the run again") from error
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise RunError(f"{file} is damaged or not of a lowland run; put back a good copy, or start the run again")
    if type(manifest["format"]) is not int or manifest["format"] not in READABLE:
        written, version = repr(manifest["format"])[:40], manifest.get("lowland")
        whose = version if isinstance(version, str) and version.isprintable() else "of the version"
        raise RunError(
            f"run {path} has format {written}, but this lowland ({__version__}) reads formats "
            f"{' and '.join(map(str, READABLE))}: use lowland {whose[:100]} that wrote it, or start the run again"
        )
    for name, kind in (("created", str), ("lowland", str), ("stages", dict), ("checkpoints", dict), ("files", dict)):
        if not isinstance(manifest.get(name), kind):
            raise RunError(f"{file} is damaged: its {name!r} is missing; put back a good copy, or start the run again")
    written = manifest.pop("sha256", None)
    if written is not None and json.loads(manifest_text(manifest))["sha256"] != written:
        raise RunError(f"{file} is damaged: it is not what the run wrote; put back a good copy, or start the run again")
    try:
        require_sound(manifest, STAGES, CHECKPOINTS)
    except Fault as error:
        raise RunError(f"{file} is damaged: {error}; put back a good copy, or start the run again") from error
    _require_own(path, manifest)
    pending = manifest.pop("pending", None)  # a file was being replaced: the new content may be in place already
    if pending is not None and intact(path, pending["file"], pending["sha256"]) is not None:
        manifest["files"][pending["file"]] = pending["sha256"]
    return manifest


def _require_own(path: Path, manifest: Mapping[str, Any]) -> None:
    """Raise RunError where the manifest names, or the run's own places are, what is not within the folder itself."""
    own = (CONFIG, LOCK, PROGRESS, ARCHIVE, f"{ARCHIVE}-wal", f"{ARCHIVE}-shm", f"{ARCHIVE}-journal")
    inside.require(path, [*own, f"{CHECKPOINTS}/any", *names(manifest)])
    for kept in manifest.get("keep", ()):  # files and folders
        inside.named(path, kept)
    for name in names(manifest):
        if inside.named(path, name) != name:
            raise RunError(f"{path / MANIFEST} names {name!r}, which is not how the run writes a path; put back a copy")


def read_config(path: Path, manifest: Mapping[str, Any]) -> Config:
    """The settings of the run at `path`; RunError where they are missing, damaged or not what the run began with."""
    if "config" in manifest:  # a change of the settings was stopped half-way: the manifest has the new ones
        return _built(path, settings.parse(manifest["config"], f"the settings in {path / MANIFEST}"), manifest)
    file = path / CONFIG
    try:
        content = inside.read(path, CONFIG, MOST_BYTES)
        intact = hashlib.sha256(content).hexdigest() == manifest["files"].get(CONFIG)
        config = _built(path, settings.parse(content.decode("utf-8"), f"settings file {file}"), manifest)
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise RunError(f"{file} of the run is missing or damaged ({error}); put back a good copy") from error
    if not intact:
        raise RunError(
            f"{file} was changed after the run began, so that its results would no longer match its settings: put back "
            f"the original, or start another run with the changed settings"
        )
    return config


def _built(path: Path, values: dict[str, Any], manifest: Mapping[str, Any]) -> Config:
    config = build(from_format_1(values) if manifest["format"] == 1 else as_they_were(values))
    if DATA not in manifest["files"]:
        return config
    # The run may have been moved, and its data with it.
    data = config.data.model_copy(update={"name": str((path / DATA).absolute())})
    return config.model_copy(update={"data": data})


def renewal(path: Path, manifest: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Renew the manifest of a run of an earlier format.

    `renewed` tells the format it came from, and the precision that its results were computed in where a file tells:
    scores of format 1 do not.

    Returns:
        What the manifest gets to be one of today, its settings still to be written.
    """
    try:
        facts = parsed(inside.read(path, "evaluation.json"))
        precision = facts["environment"]["precision"]
    except (OSError, ValueError, KeyError, TypeError):
        precision = None
    renewed = {"format": manifest["format"], "precision": precision}
    return {"format": FORMAT, "renewed": renewed, "config": settings.dump(config)}


def members(root: Path, results: Iterable[Path | str]) -> list[str]:
    """Relative paths of files, and of all files in folders; RunError where one is missing or a link."""
    found = []
    for result in results:
        relative = inside.named(root, result)
        if (root / relative).is_dir():
            found += inside.files(root, relative)
            continue
        inside.require(root, [relative])
        if not (root / relative).exists():
            raise RunError(f"{root / relative} was not made, though the stage that ends names it as a result")
        found.append(relative)
    return found


def digest(root: Path, relative: str) -> str:
    """Hash a file as the manifest keeps it.

    Returns:
        Its SHA-256; of the archive that of what it holds (`store.database`), since readers may change its bytes.

    Raises:
        RunError: It leads outside, is a link or no regular file; or it is the archive, and damaged.
        OSError: It cannot be read.
    """
    if relative != ARCHIVE:
        return inside.sha256(root, relative)
    found = database.content_sha256(root, relative)
    if found is None:
        raise RunError(f"{root / relative} is damaged; delete it and resume: candidates are then scored again")
    return found


def holds(root: Path, relative: str, digest: str, archive: Mapping[str, str] | None = None) -> bool:
    """Compare a file with its digest in the manifest, as `intact` does, but without the file in memory.

    Args:
        root: The run directory.
        relative: The file.
        digest: Of it.
        archive: What the manifest notes of the archive's bytes (`archive_bytes`); None: nothing.

    Returns:
        Whether it is what the digest says.
    """
    if relative == ARCHIVE and archive is not None and archive["sha256"] == digest:
        if archive["bytes"] == database.bytes_sha256(root, relative):
            return True
        return database.content_sha256(root, relative) == digest
    try:
        found = inside.sha256(root, relative)
    except OSError:
        return False
    return found == digest or (relative == ARCHIVE and database.content_sha256(root, relative) == digest)


def archive_bytes(root: Path, digest: str) -> dict[str, str] | None:
    """Hash the archive's bytes, by which it is known to be whole without a look at each row.

    Args:
        root: The run directory.
        digest: Of what the archive holds.

    Returns:
        `sha256`, the digest given, and `bytes`; None where a reader keeps a part of it in a log.
    """
    found = database.bytes_sha256(root, ARCHIVE)
    return None if found is None else {"sha256": digest, "bytes": found}


def intact(root: Path, relative: str, digest: str) -> bytes | None:
    """Read a file and compare it with its digest in the manifest.

    Returns:
        Its content, or None where it is missing, unreadable or has another digest. The archive has two: those of before
        were noted by their file's SHA-256.

    Raises:
        RunError: It is a link, or no regular file.
    """
    try:
        content = inside.read(root, relative)
    except OSError:
        return None
    if hashlib.sha256(content).hexdigest() == digest:
        return content
    return content if relative == ARCHIVE and database.content_sha256(root, relative) == digest else None
