"""`lowland export`: a delivered network in other forms, checked on the run's own images and noted in the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowland.core.config import Config
from lowland.core.device import environment
from lowland.core.errors import ConfigError, DataError, RunError
from lowland.core.torch_settings import settings_kept
from lowland.data import DataSet, load, order
from lowland.delivery import network as delivery
from lowland.delivery.agreement import Outcome
from lowland.delivery.description import WEIGHTS
from lowland.delivery.export import export, places
from lowland.delivery.forms.form import Request
from lowland.delivery.forms.table import forms
from lowland.store import inside
from lowland.store.artifacts import Exports
from lowland.store.manifest import MANIFEST
from lowland.store.run import Run
from lowland.workflow import plugins


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """One written file: what came of comparing it with the network (None: it was not), and what became of the note."""

    path: Path
    outcome: Outcome | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Exporting:
    """What `export_network` did: the files, and one line where the run could not be told of them."""

    files: tuple[Exported, ...]
    unnoted: str = ""


@settings_kept()
def export_network(
    folder: Path,
    config: Config,
    *,
    names: Sequence[str],
    out: Path | None = None,
    data_given: bool = False,
    normalise: bool = True,
    checked: bool = True,
    images: int = 1000,
    calibration_images: int = 2048,
) -> Exporting:
    """Write a network in each of these forms.

    Everything that can be refused is refused before the first file is written. The network of a run is compared on the
    run's test images and calibrated on its training images, unless other data is named.

    Args:
        folder: Run or network folder.
        config: Data and seed, where `data_given`.
        names: The forms, as `delivery.forms.table` has them.
        out: Of one form its file, of several a folder; None: the current folder.
        data_given: Whether the person named a data set.
        normalise: Whether programs take uint8 images and normalise them, or take normalised ones.
        checked: Compare each file with the network, and time both.
        images: Most test images to compare on.
        calibration_images: Training images that int8 forms are calibrated on.

    Returns:
        The files and what came of them.

    Raises:
        ConfigError: a form is unknown, a number out of range, a file would lie in a run, or nothing says which images
            to use.
        DataError: the images are not of the network's kind.
        LowlandError: the network cannot be loaded, a form needs packages that are not installed, or a file cannot be
            written.
    """
    chosen = forms(names)
    for number, flag in ((images, "--images"), (calibration_images, "--calibration-images")):
        if number < 1:
            raise ConfigError(f"{flag} {number} must be at least 1")
    for form in chosen:
        form.require()
    paths = places(chosen, out)
    for path in paths:
        _refuse_runs(path)
    run = owner(folder)
    if run is not None and not data_given:
        with Run.open(run, read_only=True) as opened:
            plugins.require(opened)
            config = opened.config
    network = delivery.load(folder)
    data = None
    if checked or any(form.calibrates for form in chosen):
        if run is None and not data_given:
            without = "" if any(form.calibrates for form in chosen) else ", or leave the check out with --no-check"
            raise ConfigError(f"{folder} does not say which images to use; name them with --data{without}")
        data = _fitting(config, network)
    request = Request(
        normalise=normalise, calibration_NCHW=None if data is None else _calibration(data, calibration_images, config)
    )
    compared = (data.test, _chosen(len(data.test), images, config, "export images")) if checked and data else None
    told = {
        "network": _digest(folder),
        "data": None if data is None else data.name,
        "split": "test",
        "calibration_images": calibration_images,
        "environment": environment(),
    }
    files = []
    for form, path in zip(chosen, paths, strict=True):
        facts = told if form.calibrates else {key: value for key, value in told.items() if key != "calibration_images"}
        files.append(Exported(path=path, outcome=export(network, form, path, request, compared, facts)))
    outcomes = [each.outcome for each in files if each.outcome is not None]
    unnoted = ""
    if run is not None and outcomes and _is_first(folder, run):
        unnoted = _noted(run, told, outcomes)
    return Exporting(files=tuple(files), unnoted=unnoted)


def owner(folder: Path) -> Path | None:
    """The run that a run or network folder belongs to; None for a network folder alone."""
    whole = folder.absolute()
    return next((each for each in (whole, *whole.parents[:2]) if (each / MANIFEST).is_file()), None)


def _refuse_runs(path: Path) -> None:
    """Raise ConfigError where a file would lie in a run directory, of whose own files it might take the place."""
    run = next((each for each in path.resolve().parents if (each / MANIFEST).is_file()), None)
    if run is not None:
        raise ConfigError(f"{path} would lie in the run {run}, whose files are its own; name another place with --out")


def _is_first(folder: Path, run: Path) -> bool:
    """Whether the folder is that of the run's first network, or the run itself."""
    return folder.absolute() in (run, run / "network")


def _digest(folder: Path) -> str:
    """SHA-256 of the network's weights."""
    root, within = (folder, "network/") if (folder / MANIFEST).is_file() else (folder, "")
    return inside.sha256(root, f"{within}{WEIGHTS}")


def _fitting(config: Config, network: delivery.Network) -> DataSet:
    """The data set, at the network's size; DataError where it is of another kind."""
    shape = network.shape
    settings = config.data.model_copy(update={"image_size": shape.image_size, "fit": network.fit})
    data = load(settings, seed=config.seed)
    if data.in_channels != shape.in_channels or data.classes != network.classes:
        raise DataError(
            f"the network takes {shape.in_channels}-channel images of {shape.num_classes} classes "
            f"({', '.join(network.classes[:3])}, …), but {config.data.name} has {data.in_channels} channels and "
            f"{data.num_classes} classes ({', '.join(data.classes[:3])}, …); name its own data set with --data"
        )
    return data


def _calibration(data: DataSet, count: int, config: Config) -> Tensor:
    return data.train.images(_chosen(len(data.train), count, config, "calibration")).cpu()


def _chosen(length: int, count: int, config: Config, purpose: str) -> Tensor:
    """Places of at most `count` images in the run's seeded order."""
    chosen: Tensor = order(length, seed=config.seed, keys=(purpose,))[:count].sort().values
    return chosen.to(torch.int64)


def _noted(run: Path, told: dict[str, Any], outcomes: Sequence[Outcome]) -> str:
    """Note outcomes in the run and write its report anew.

    Returns:
        Nothing, or why the run could not be told: the files are there all the same.
    """
    from lowland.workflow.reporting import report

    try:
        with Run.open(run) as opened:
            known = Exports.read(opened)
            kept = known.forms if known is not None and known.network == told["network"] else {}
            facts = {key: value for key, value in told.items() if key != "network"}
            new = {outcome.form: outcome.to_json() | facts for outcome in outcomes}
            Exports(network=told["network"], forms={**kept, **new}).write(opened)
        if (run / "report.html").exists():
            report(run)
    except RunError as error:
        return f"not noted in the run: {error}"
    return ""
