"""Archives of run format 1: their scores are given the identities of today, so that a search finds them again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lowland.core.config import MeasureConfig
from lowland.core.errors import ConfigError
from lowland.core.settings import section
from lowland.search import Archive
from lowland.store.translation import from_format_1
from lowland.workflow.identity import identity_text
from lowland.workflow.session import Session


def renew(archive: Archive, session: Session, recorded: str | None) -> None:
    """Give scores that were recorded under identities of format 1 those of today; a stop leaves all or none renewed.

    An old identity holds every setting that measures had, and the precision as it was set. Where that was `auto`, it
    is the `recorded` one, else the one that `auto` means on this machine, which is then said.

    Args:
        archive: Open for writing.
        session: Whose arithmetic `auto` means where nothing was recorded.
        recorded: Precision that the machine of the old scores ran in, where that is known.
    """
    found = {old: renewed(old, recorded or session.compute.precision) for old in archive.measures()}
    changed = {old: new for old, new in found.items() if new != old}
    if not changed:
        return
    archive.rename(changed)
    if recorded is None and any(json.loads(old)["precision"] == "auto" for old in changed):
        here = session.compute.precision
        session.monitor.note(f"{archive.path.name} does not tell the precision of its old scores; they count as {here}")


def renewed(identity: str, auto: str) -> str:
    """Renew an identity, `auto` the precision that stands for the setting of that name.

    One that cannot be asked for any more, such as one of a measure that is not there, stays as it is.

    Returns:
        The identity as it is written today.
    """
    parts = json.loads(identity)
    if parts.get("precision") == "auto":
        parts["precision"] = auto
    old: dict[str, Any] | None = parts.pop("measure", None)
    if old is None:
        return json.dumps(parts, sort_keys=True)
    if "name" not in old:
        return identity
    measure = from_format_1({"measure": old})["measure"]
    if "+" in old["name"] and measure["name"] != old["name"]:
        return identity  # the scores name their parts as they were written then
    try:
        return identity_text(section(MeasureConfig, measure), parts)
    except ConfigError:
        return identity


def recorded_precision(file: Path) -> str | None:
    """The precision in the `environment` of a JSON file of results; None where there is none."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["environment"]["precision"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
