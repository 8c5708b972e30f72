"""Whether a manifest is one: types, sizes and names, before anything is done with it.

A manifest may come from a stranger or from a damaged disk, and it says which files to delete.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, NoReturn

MOST_BYTES = 64 * 2**20
"""A manifest of a thousand networks has less than one hundredth of this."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_NETWORK = re.compile(r"network|networks/[0-9]+")
_STATES = ("pending", "running", "done")
_OWN = ("manifest.json", "config.yaml", ".lock")
"""Files that no stage makes."""


class Fault(ValueError):
    """What is wrong with a JSON text; the message ends a sentence that names the file."""


def parsed(content: bytes) -> Any:
    """Read a JSON text from anywhere.

    Returns:
        Its value.

    Raises:
        Fault: It is not JSON in UTF-8, is nested too deeply, or holds NaN, infinite or overlong numbers.
    """
    try:
        return json.loads(content.decode("utf-8"), parse_constant=_refused, parse_float=_finite)
    except RecursionError:
        raise Fault("it is nested too deeply") from None
    except Fault:
        raise
    except ValueError as error:  # an integer of thousands of digits is one too
        raise Fault(" ".join(str(error).split())[:200]) from error


def _refused(name: str) -> NoReturn:
    raise Fault(f"it holds {name}, which is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Fault(f"it holds the number {text[:40]}, which is too large")
    return value


def require_sound(manifest: Mapping[str, Any], stages: tuple[str, ...], checkpoints: str) -> None:
    """Check all that is read of a manifest.

    Args:
        manifest: Its values; `stages`, `checkpoints` and `files` are known to be mappings.
        stages: Names of stages.
        checkpoints: Name of the folder that holds all checkpoints.

    Raises:
        Fault: It has another type, or is a text that would disturb a terminal.
    """
    for name in ("created", "lowland"):
        _text(manifest[name], f"its {name!r}", most=100)
    for name, stage in manifest["stages"].items():
        _member(name, stages, "the stage")
        _stage(stage, f"stage {name}")
    for name, kept in manifest["checkpoints"].items():
        _text(name, "a name in 'checkpoints'", most=200)
        _list(kept, f"checkpoint {name[:40]!r}")
        if not kept:
            raise Fault(f"checkpoint {name[:40]!r} is empty")
        for entry in kept:
            _checkpoint(entry, f"checkpoint {name[:40]!r}", stages, checkpoints)
    for name, digest in manifest["files"].items():
        _text(name, "a name in 'files'")
        _digest(digest, f"the checksum of {name[:80]!r}")
    if "pending" in manifest:
        _mapping(manifest["pending"], "its 'pending'")
        _text(manifest["pending"].get("file"), "the file in 'pending'")
        _digest(manifest["pending"].get("sha256"), "the checksum in 'pending'")
    if manifest.get("archive") is not None:
        _mapping(manifest["archive"], "its 'archive'")
        for name in ("sha256", "bytes"):
            _digest(manifest["archive"].get(name), f"the {name} of its 'archive'")
    if "reset" in manifest:
        _member(manifest["reset"], stages, "the stage in 'reset'")
    if "store" in manifest:
        _mapping(manifest["store"], "its 'store'")
        if set(manifest["store"]) != {"folder", "secret"}:
            raise Fault("its 'store' has not folder and secret")
        for name, value in manifest["store"].items():
            _text(value, f"the {name} of its 'store'")
        if not PurePath(manifest["store"]["folder"]).is_absolute():
            raise Fault("the folder of its 'store' is no absolute path")
    if "config" in manifest and not isinstance(manifest["config"], str):
        raise Fault("its 'config' is no text")
    for name in _list(manifest.get("keep", []), "its 'keep'"):
        _text(name, "a name in 'keep'")
    if "earlier" in manifest:
        _earlier(manifest["earlier"])
    if "exchange" in manifest:
        _mapping(manifest["exchange"], "its 'exchange'")
        for name in _list(manifest["exchange"].get("folders"), "the folders of 'exchange'"):
            _text(name, "a folder of 'exchange'")
            if not _NETWORK.fullmatch(name):
                raise Fault(f"{name[:80]!r} in 'exchange' is no folder of a network")
        if type(manifest["exchange"].get("number")) is not int:
            raise Fault("the number of 'exchange' is no whole number")
    for name in ("data", "environment", "renewed"):
        if name in manifest:
            _mapping(manifest[name], f"its {name!r}")
    if "data" in manifest:
        _text(manifest["data"].get("fingerprint"), "the fingerprint in 'data'")
        _text(manifest["data"].get("content", ""), "the content in 'data'")


def names(manifest: Mapping[str, Any]) -> Iterator[str]:
    """Every file and folder of the run that a sound manifest names."""
    yield from manifest["files"]
    for stage in manifest["stages"].values():
        yield from stage.get("files", ())
    for kept in manifest["checkpoints"].values():
        yield from (entry["file"] for entry in kept)
    yield from manifest.get("earlier", {}).get("files", ())
    if "pending" in manifest:
        yield manifest["pending"]["file"]


def _earlier(value: Any) -> None:
    _mapping(value, "its 'earlier'")
    for name in _list(value.get("files"), "the files of 'earlier'"):
        _text(name, "a file of 'earlier'")
        if not _NETWORK.fullmatch(name.rpartition("/")[0]):
            raise Fault(f"{name[:80]!r} in 'earlier' is no file of a network")
    if not isinstance(value.get("config"), str):
        raise Fault("the settings of 'earlier' are no text")
    if value.get("made") is not None:
        _text(value["made"], "the date of 'earlier'", most=100)


def _stage(stage: Any, where: str) -> None:
    _mapping(stage, where)
    _member(stage.get("status"), _STATES, f"the status of {where}")
    seconds = stage.get("seconds", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        raise Fault(f"the seconds of {where} are no number from 0")
    if "started" in stage:
        _text(stage["started"], f"the start of {where}", most=100)
    if type(stage.get("processes", 1)) is not int:
        raise Fault(f"the processes of {where} are no whole number")
    _mapping(stage.get("facts", {}), f"the facts of {where}")
    for name in _list(stage.get("files"), f"the files of {where}"):
        _text(name, f"a file of {where}")
        if name in _OWN:
            raise Fault(f"{where} names {name} as its file, which no stage makes")


def _checkpoint(entry: Any, where: str, stages: tuple[str, ...], folder: str) -> None:
    _mapping(entry, where)
    _text(entry.get("file"), f"the file of {where}")
    if not entry["file"].startswith(f"{folder}/"):
        raise Fault(f"the file of {where}, {entry['file'][:80]!r}, is not in {folder}/")
    _digest(entry.get("sha256"), f"the checksum of {where}")
    if isinstance(entry.get("step"), bool) or not isinstance(entry.get("step"), int):
        raise Fault(f"the step of {where} is no whole number")
    _member(entry.get("stage"), stages, f"the stage of {where}")


def _mapping(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise Fault(f"{where} is no mapping")


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise Fault(f"{where} is no list")
    return value


def _text(value: Any, where: str, most: int = 4096) -> None:
    # Escapes of a terminal and marks that turn the direction of writing are not printable.
    if not isinstance(value, str) or not value.isprintable() or len(value) > most:
        raise Fault(f"{where} is no plain text of at most {most:,} characters")


def _digest(value: Any, where: str) -> None:
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise Fault(f"{where} is no SHA-256")


def _member(value: Any, allowed: tuple[str, ...], where: str) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise Fault(f"{where} is {str(value)[:40]!r}, not one of {', '.join(allowed)}")
