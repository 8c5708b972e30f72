"""What a changed setting redoes: new settings are completed, checked, and written with the stages that they clear."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lowland.core.config import Config, build
from lowland.core.errors import ConfigError
from lowland.core.options import own_settings
from lowland.core.registry import SUITES
from lowland.core.settings import Options, Section, merge
from lowland.data import DataSet, catalogue
from lowland.store.run import Run
from lowland.workflow import plugins
from lowland.workflow.checks import check
from lowland.workflow.presets import complete, recipe
from lowland.workflow.stages.table import STAGES


def with_absolute_paths(config: Config) -> Config:
    """The settings with absolute paths, also of suites, so that a run can be resumed from any current folder."""
    data = config.data
    name = data.name
    if name not in {entry.name for entry in catalogue()}:
        name = str(Path(name).expanduser().absolute())
    root, published = (
        each.expanduser().absolute() if each is not None else None for each in (data.root, config.evaluate.root)
    )
    parts: dict[str, Any] = {
        "data": data.model_copy(update={"name": name, "root": root}),
        "evaluate": config.evaluate.model_copy(
            update={"options": _absolute(config.evaluate.options), "root": published}
        ),
    }
    if config.supernet.pretrained is not None:
        pretrained = config.supernet.pretrained.expanduser().absolute()
        parts["supernet"] = config.supernet.model_copy(update={"pretrained": pretrained})
    if config.checkpoints_to is not None:
        parts["checkpoints_to"] = config.checkpoints_to.expanduser().absolute()
    return config.model_copy(update=parts)


def _absolute(options: Options) -> Options:
    """Options of suites, complete and with absolute paths."""
    found = {}
    for name in options:
        own: Section = own_settings(SUITES, name, options, "evaluate.options")
        paths: dict[str, Any] = {
            key: value.expanduser().absolute() for key, value in own if isinstance(value, Path)
        } | {
            key: tuple(path.expanduser().absolute() for path in value)
            for key, value in own
            if isinstance(value, tuple) and value and all(isinstance(path, Path) for path in value)
        }
        found[name] = own.model_copy(update=paths).model_dump(mode="json")
    return found


def reconfigure(opened: Run, changes: Sequence[dict[str, Any]], restart: str | None) -> DataSet | None:
    """Write changed settings into a run, and clear the stages they or `restart` ask to be done again.

    New settings are checked first, as those of a new run are.

    Returns:
        The data set loaded for that check; None where no stage's settings change.

    Raises:
        ConfigError: there is no such stage, a new setting is wrong, or is one that the supernet depends on.
        DataError: the data of the new settings cannot be used.
    """
    data = _reconfigured(opened, changes, restart)
    if any("checkpoints_to" in change for change in changes):
        opened.keep_checkpoints_in(opened.config.checkpoints_to)
    return data


def _reconfigured(opened: Run, changes: Sequence[dict[str, Any]], restart: str | None) -> DataSet | None:
    """See `reconfigure`; where checkpoints lie is left as it was."""
    order = list(STAGES)
    if restart is not None and restart not in order:
        raise ConfigError(f"unknown stage {restart!r}; the stages are {', '.join(order)}")
    if not changes:
        if restart is not None:
            opened.reset_stage(restart)
        return None
    before = complete(opened.config)  # an older run lacks settings that have a default now
    old = before.model_dump(mode="json")
    config = plugins.kept(with_absolute_paths(complete(build(_changed(old, changes)))), opened.config)
    if config.checkpoints_to is not None and config.checkpoints_to.resolve() == opened.path.resolve():
        config = config.model_copy(update={"checkpoints_to": None})
    new = config.model_dump(mode="json")
    decided = [
        (stage, section)
        for stage in STAGES.values()
        for section in stage.decided_by
        if stage.decided(section, new) != stage.decided(section, old)
    ]
    fixed = [section for stage, section in decided if stage.name == order[0]]
    if fixed:
        raise ConfigError(
            f"{fixed[0]} cannot be changed in {opened.path}, whose supernet depends on it; start a new run with "
            "another --out"
        )
    again = [stage.name for stage, _ in decided] + ([restart] if restart else [])
    again += [stage.name for stage in STAGES.values() if stage.also(opened.config, config)]
    first = min(again, key=order.index) if again else None
    if not decided:
        if new != old:
            opened.reconfigure(config, first)
        elif first is not None:
            opened.reset_stage(first)
        return None
    data = check(config)
    keep = STAGES[first].keeps(opened, config) if first is not None and restart is None else []
    opened.reconfigure(config, first, keep=keep)
    return data


def _changed(old: dict[str, Any], changes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`old` settings with changes on top, later ones over earlier ones; a recipe that is named brings its values."""
    new = old
    for change in changes:
        retrain = change.get("retrain")
        named = {"retrain": recipe(retrain["recipe"])} if isinstance(retrain, dict) and "recipe" in retrain else {}
        new = merge(merge(new, named), change)
    return new
