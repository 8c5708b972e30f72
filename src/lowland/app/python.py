"""The main job from Python: `lowland.run`, `lowland.resume`, and the settings that the command line would make."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lowland.app import console
from lowland.app.callbacks import Callback
from lowland.app.encoding import written_out
from lowland.app.shown import Mode, watched
from lowland.core.config import Config
from lowland.core.errors import ConfigError
from lowland.core.monitor import Monitor
from lowland.core.settings import count, nested
from lowland.data import in_memory
from lowland.workflow import pipeline
from lowland.workflow.presets import assemble
from lowland.workflow.result import RunResult

Set = Mapping[str, Any]


def settings(
    *,
    preset: str | None = None,
    space: str | None = None,
    measure: str | Mapping[str, Any] | None = None,
    max_params: int | str | None = None,
    max_macs: int | str | None = None,
    seed: int | None = None,
    set: Set | None = None,
    **sections: Mapping[str, Any],
) -> Config:
    """Complete settings, as `lowland run` makes them of its options: what is not said comes from the preset.

    Example:
        >>> found = settings(preset="paper", space="darts", supernet={"batch_size": 96})
        >>> found.supernet.epochs, found.supernet.batch_size, found.retrain.recipe
        (250, 96, 'cifar')

    Args:
        preset: quick (the default), standard, paper, flatnas; a sum such as paper+compat.
        space: Search space.
        measure: A measure or a sum of measures, or a section of settings.
        max_params: Largest number of parameters, such as 1_000_000 or "1M".
        max_macs: Most multiply-accumulates.
        seed: Run seed.
        set: Single settings by dotted key, such as {"search.options.evolution.generations": 6}; strongest.
        sections: Sections of settings, such as supernet={"epochs": 3}.

    Returns:
        Complete, checked settings.

    Raises:
        ConfigError: naming the first key or value at fault.
    """
    layers: list[dict[str, Any]] = [{name: _plain(values) for name, values in sections.items()}]
    plain = {"preset": preset, "space": space, "seed": seed}
    layers.append({name: value for name, value in plain.items() if value is not None})
    if measure is not None:
        layers.append({"measure": {"name": measure} if isinstance(measure, str) else _plain(measure)})
    for name, limit in (("max_params", max_params), ("max_macs", max_macs)):
        if limit is not None:
            layers.append(nested(f"search.{name}", count(name, limit)))
    layers += [nested(key, _plain(value)) for key, value in (set or {}).items()]
    return assemble(*layers)


def run(
    data: Any = None,
    out: Path | str | None = None,
    *,
    preset: str | None = None,
    space: str | None = None,
    measure: str | Mapping[str, Any] | None = None,
    max_params: int | str | None = None,
    max_macs: int | str | None = None,
    seed: int | None = None,
    set: Set | None = None,
    config: Config | None = None,
    monitor: Monitor | None = None,
    callbacks: Sequence[Callback | str] = (),
    progress: Mode = "auto",
    verbose: bool = False,
    quiet: bool = False,
    last: str = "report",
) -> RunResult:
    """Search, retrain, judge and deliver a network: everything, in one go, as `lowland run`.

    Data in memory is written once, as uint8, into the run directory (data.npz), so that the run can be resumed in
    another process; what takes more than `data.memory_gb` is refused: write it into a folder and give its path.

    Args:
        data: Name of a data set, path of an image folder or .npz file, arrays or tensors (x, y) or
            ((x_train, y_train), (x_test, y_test)), a torch `Dataset` of (image, label), or two of them, (train, test).
            Images are uint8, or floats from 0 to 1. Also complete settings in place of `config`: `run(config, path)`.
        out: Run directory to make; None: a dated one in `runs/`.
        preset: As for `settings`.
        space: As for `settings`.
        measure: As for `settings`.
        max_params: As for `settings`.
        max_macs: As for `settings`.
        seed: As for `settings`.
        set: As for `settings`.
        config: Settings in place of the seven above. What they leave out comes from their preset, as everywhere:
            `Config(preset="paper")` is what the command line makes of `--preset paper`.
        monitor: Hears how it goes in place of what `progress` says.
        callbacks: Objects of `lowland.Callback` that are called as it goes, or names of ready ones: tensorboard,
            mlflow, wandb.
        progress: live (drawn in place, in a terminal or notebook), lines (with the time, at least one a minute), none;
            auto: live where that can be, else lines.
        verbose: Show more: versions, device, precision, threads, changed settings, every candidate.
        quiet: The same as progress="none": show nothing, but warnings.
        last: supernet, search, train, evaluate or report.

    Returns:
        What the run has to show.

    Raises:
        ConfigError: settings are given twice, or wrong.
        LowlandError: the data or the machine does not allow it; no run directory is then left behind.
        InterruptedRun: Ctrl-C, or the monitor asked for a stop; `resume` continues.
    """
    if isinstance(data, Config):
        if config is not None:
            raise ConfigError("run was given settings twice; leave one of them out")
        data, config = None, data
    named: dict[str, Any] = {
        "preset": preset,
        "space": space,
        "measure": measure,
        "max_params": max_params,
        "max_macs": max_macs,
        "seed": seed,
        "set": set,
    }
    given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if config is None:
        config = settings(**given)
    elif given:
        raise ConfigError(f"run was given settings and {', '.join(given)}; give all to lowland.settings(…) instead")
    else:
        # What was set, over what its preset says; of complete settings that is everything.
        config = assemble(config.model_dump(mode="json", exclude_unset=True))
    arrays = None
    if isinstance(data, str | os.PathLike):
        config = config.model_copy(update={"data": config.data.model_copy(update={"name": os.fspath(data)})})
    elif data is not None:
        arrays = in_memory(data, config.data.memory_gb)
    with _watched(monitor, callbacks, "none" if quiet else progress, verbose) as watching:
        return pipeline.run(config, out, monitor=watching, last=last, arrays=arrays)


def resume(
    path: Path | str | RunResult,
    *,
    set: Set | None = None,
    monitor: Monitor | None = None,
    callbacks: Sequence[Callback | str] = (),
    progress: Mode = "auto",
    verbose: bool = False,
    quiet: bool = False,
    last: str = "report",
    restart: str | None = None,
    changes: Any = (),
) -> RunResult:
    """Continue a run to stage `last`; stages that are done are not done again.

    Args:
        path: Run directory, or what `run` returned.
        set: Changed settings by dotted key; the stages they decide are done again.
        monitor: Hears how it goes in place of what `progress` says.
        callbacks: Objects of `lowland.Callback` that are called as it goes, or names of ready ones: tensorboard,
            mlflow, wandb.
        progress: live (drawn in place, in a terminal or notebook), lines (with the time, at least one a minute), none;
            auto: live where that can be, else lines.
        verbose: Show more: versions, device, precision, threads, changed settings, every candidate.
        quiet: The same as progress="none": show nothing, but warnings.
        last: supernet, search, train, evaluate or report.
        restart: Do this stage and all later ones again.
        changes: Changed settings as nested mappings, weakest first.

    Returns:
        What the run has to show.

    Raises:
        LowlandError: a change or the machine does not allow it; a refused change leaves the run as it was.
        InterruptedRun: Ctrl-C, or the monitor asked for a stop; `resume` continues.
    """
    folder = path.path if isinstance(path, RunResult) else path
    asked = [*changes, *(nested(key, _plain(value)) for key, value in (set or {}).items())]
    with _watched(monitor, callbacks, "none" if quiet else progress, verbose) as watching:
        return pipeline.resume(folder, monitor=watching, last=last, restart=restart, changes=asked)


@contextmanager
def _watched(
    monitor: Monitor | None, callbacks: Sequence[Callback | str], progress: Mode, verbose: bool
) -> Iterator[Monitor]:
    """What hears of the run; the process's output is as it was afterwards."""
    with (
        written_out(),
        watched(console.out, progress, verbose=verbose, callbacks=callbacks, monitor=monitor) as watching,
    ):
        yield watching


def _plain(value: Any) -> Any:
    """Mappings as dicts and tuples as lists, as a settings file would hold them."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value
