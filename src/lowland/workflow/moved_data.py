"""Data that lie elsewhere than when a run began: the run goes on with them where they are the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowland.core.device import resolve
from lowland.core.errors import ConfigError, DataError
from lowland.data import DataSet, load
from lowland.store.run import DATA, Run
from lowland.training.parallel import join
from lowland.workflow.changes import with_absolute_paths
from lowland.workflow.session import data_facts

COMPARED = ("classes", "image_size", "in_channels", "train", "search", "test")
"""What a sentence names where data differ; the rest is told by the fingerprint alone."""


def move_data(path: Path | str, *, name: str | None = None, root: Path | None = None) -> DataSet:
    """Let a run find its data in another place; nothing is done again.

    Args:
        path: Run directory.
        name: Where the data are now, as `data.name`; None: as before.
        root: Where torchvision's are now, as `data.root`; None: as before.

    Returns:
        The data set.

    Raises:
        ConfigError: the run keeps its data itself, or this is one of several processes.
        DataError: the data there are others, and what differs; the run is left as it was.
        RunError: the run is damaged or in use.
    """
    if join().size > 1:
        raise ConfigError("one process moves data: run `lowland resume RUN --data …` once without torchrun")
    with Run.open(path) as run:
        if DATA in run.manifest["files"]:
            raise ConfigError(f"{path} keeps its data itself, in {DATA}; leave --data out")
        update: dict[str, Any] = {}
        if name is not None:
            update["name"] = name
        if root is not None:
            update["root"] = root
        config = run.config.model_copy(update={"data": run.config.data.model_copy(update=update)})
        config = with_absolute_paths(config)
        data = load(config.data, seed=config.seed, device=resolve(config.compute).device)
        known = run.manifest.get("data")
        if known is not None:
            _require_same(known, data_facts(data), str(path), config.data.name)
        run.reconfigure(config, None)
    return data


def _require_same(known: Mapping[str, Any], found: Mapping[str, Any], run: str, place: str) -> None:
    if all(known.get(key, found[key]) == found[key] for key in ("fingerprint", "content")):
        return
    differing = [key for key in COMPARED if key in known and known[key] != found[key]]
    said = [f"{key} {_short(known[key])} there, {_short(found[key])} here" for key in differing]
    what = "; ".join(said) or "the classes, sizes and counts are equal, but the pictures are others"
    raise DataError(
        f"{place} holds other data than {run} was started with ({what}); give the folder with the same data, or start "
        "a new run with another --out"
    )


def _short(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
