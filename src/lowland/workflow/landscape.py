"""`lowland landscape`: the loss around the weights of several networks, on the same images and under the same noise.

The folder it writes holds `networks/<name>/seed-<s>/` (what was trained for it, see `evaluation.contest`),
`measured/<digest>.json` (what is known of one network under one set of settings), `landscape.json` and
`landscape.html`. The same command again goes on where it stopped, and a further network is added to what is there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowland._version import __version__
from lowland.core.config import Config
from lowland.core.device import environment, resolve
from lowland.core.errors import ConfigError, InterruptedRun
from lowland.core.files import json_text
from lowland.core.monitor import Monitor
from lowland.core.seeds import derive
from lowland.core.torch_settings import settings_kept
from lowland.data import DataSet, batches, load, order
from lowland.evaluation.landscapes import NetworkLandscape
from lowland.measures.landscape import flatness
from lowland.measures.surface.slices import Plane
from lowland.measures.surface.views import Views
from lowland.report import landscape_page
from lowland.store import inside
from lowland.store.run import Run
from lowland.workflow import plugins
from lowland.workflow.entrants import Entrant, Named, delivered, named, trained, trainings
from lowland.workflow.out_folder import held
from lowland.workflow.session import Session

RESULT, PAGE, MEASURED = "landscape.json", "landscape.html", "measured"

FORMAT = 1
"""Version of the layout of the folder and of landscape.json."""


@dataclass(frozen=True, kw_only=True)
class LandscapeRequest:
    """What is to be drawn.

    Attributes:
        networks: Run and network folders, and names of references as `spaces.references.find` takes them.
        train: Whether references, which have no weights, are trained by the recipe of the first run.
        fit: Whether references have the width that fills the size of that run's network, or their own.
        split: train, search or test.
        images: Most images behind a curve.
        sigmas: Noise levels above 0.
        draws: Noise draws per level.
        relative: Noise in proportion to each weight.
        plane: Also the loss in a plane of two random, filter-normalised directions.
        span: Its reach; None: 1 filter norm.
        points: Its points in each direction, odd.
        plane_images: Most images behind it.
    """

    networks: tuple[str, ...]
    train: bool = False
    fit: bool = True
    split: str = "search"
    images: int = 500
    sigmas: tuple[float, ...] = (2e-3, 5e-3, 1e-2, 2e-2, 4e-2)
    draws: int = 3
    relative: bool = False
    plane: bool = True
    span: float | None = None
    points: int = 11
    plane_images: int = 256

    @property
    def views(self) -> Views:
        """What is looked at beside the curve; ConfigError where it is out of range."""
        slices: tuple[Plane, ...] = ("random",) if self.plane else ()
        return Views(slices=slices, span=self.span, points=self.points, images=self.plane_images)


@settings_kept()
def landscape(
    config: Config, out: Path, request: LandscapeRequest, *, data_given: bool, monitor: Monitor | None = None
) -> dict[str, Any]:
    """Draw the loss around several networks.

    Args:
        config: Data, seed and device; without `data_given` data and seed of the first run are taken.
        out: Folder to make, or to go on with.
        request: Of which networks, and how.
        data_given: Whether the person named a data set.
        monitor: Hears how it goes, and asks for a stop.

    Returns:
        What landscape.json holds.

    Raises:
        ConfigError: the request is out of range, or says nothing of images or of how a reference is to be trained;
            nothing is then written.
        LowlandError: a network or the machine does not allow it.
        InterruptedRun: the monitor asked for a stop; the same command goes on.
    """
    monitor = monitor or Monitor()
    _check(request)
    asked = [named(text) for text in request.networks]
    host = next((each.folder for each in asked if each.run), None)
    _require_trainable(asked, request, host)
    if host is None:
        if not data_given:
            raise ConfigError(f"{request.networks[0]} does not say which images to use; name them with --data")
        return _drawn(config, None, None, asked, out, request, monitor)
    with Run.open(host, read_only=True) as run:
        plugins.require(run)
        session = Session(run, monitor)
        if data_given:
            return _drawn(config, None, session, asked, out, request, monitor)
        config = run.config.model_copy(update={"compute": config.compute})
        return _drawn(config, session.data, session, asked, out, request, monitor)


def _check(request: LandscapeRequest) -> None:
    if request.split not in ("train", "search", "test"):
        raise ConfigError(f"--split {request.split!r} is unknown; choose train, search or test")
    for option, value in (("--images", request.images), ("--draws", request.draws)):
        if value < 1:
            raise ConfigError(f"{option} {value} must be at least 1")
    if len(request.sigmas) < 2 or any(b <= a for a, b in zip((0.0, *request.sigmas), request.sigmas, strict=False)):
        raise ConfigError(f"--sigmas must be at least two increasing values above 0, got {list(request.sigmas)}")
    twice = next((name for name in request.networks if request.networks.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f"network {twice} is named twice; name each once")
    _ = request.views  # refuses what is out of range


def _require_trainable(asked: Sequence[Named], request: LandscapeRequest, host: Path | None) -> None:
    """Raise ConfigError where a network would have to be trained and nobody asked for it, or nothing says how."""
    names = [each.text for each in asked if each.folder is None]
    if not names:
        return
    several = "have" if len(names) > 1 else "has"
    if host is None:
        raise ConfigError(
            f"{' and '.join(names)} {several} no trained weights here; name a run beside it, by whose recipe it is to "
            "be trained, and add --train"
        )
    if not request.train:
        epochs = Run.open(host, read_only=True).config.retrain.epochs
        raise ConfigError(
            f"{' and '.join(names)} {several} no trained weights, and those of chance have no landscape worth a look; "
            f"add --train to train by the recipe of {host} ({epochs:g} epochs each, about as long as the run's own "
            "retraining)"
        )


def _drawn(
    config: Config,
    data: DataSet | None,
    session: Session | None,
    asked: Sequence[Named],
    out: Path,
    request: LandscapeRequest,
    monitor: Monitor,
) -> dict[str, Any]:
    """Train what has no weights, measure all, and write what was found; `session` is that of the first run."""
    compute = resolve(config.compute)
    data = data or load(config.data, seed=config.seed, device=compute.device)
    entrants = {str(each.folder): delivered(each.folder, data) for each in asked if each.folder is not None}
    references = [each.text for each in asked if each.folder is None]
    # Refused before anything is made.
    planned = trainings(references, session, out, fit=request.fit) if references and session is not None else None
    lock = held(out, {RESULT, PAGE, MEASURED, "networks"}, "a folder of landscapes")
    try:
        if planned is not None:
            for text, training in zip(references, planned.trainings, strict=True):
                entrants[text] = trained(text, training, planned)
        chosen = [entrants[each.text if each.folder is None else str(each.folder)] for each in asked]
        found = []
        monitor.start("landscapes", len(chosen), "network")
        for done, entrant in enumerate(chosen, start=1):
            found.append(_known(entrant, out, data, config, request))
            monitor.advance(done)
            monitor.check()
        monitor.finish()
        document = {
            "format": FORMAT,
            "lowland": __version__,
            "seed": config.seed,
            "data": {"name": data.name, "fingerprint": data.fingerprint, "split": request.split},
            "relative": request.relative,
            "networks": [each.to_json() for each in found],
            "notes": [note for entrant in chosen for note in entrant.notes],
            "environment": environment(compute),
        }
        inside.write_text(out, RESULT, json_text(document))
        inside.write_text(out, PAGE, landscape_page.render(document))
    except InterruptedRun as stop:
        raise InterruptedRun("stopped at a safe point; run the same command again to go on") from stop
    finally:
        lock.release()
    return document


def _known(entrant: Entrant, out: Path, data: DataSet, config: Config, request: LandscapeRequest) -> NetworkLandscape:
    """What was measured of a network before with the same settings, or else now; kept before the next one begins."""
    settings = {key: value for key, value in vars(request).items() if key not in ("networks", "train", "fit")}
    parts = (entrant.digest, data.fingerprint, config.seed, str(config.compute.device), sorted(settings.items()))
    file = f"{MEASURED}/{derive(0, 'landscape', *parts):016x}.json"
    try:
        kept = json.loads(inside.read(out, file))
        return NetworkLandscape.from_json({**kept, "name": entrant.name, "origin": entrant.origin})
    except (OSError, ValueError, KeyError, TypeError):
        found = _measured(entrant, data, config, request)
    inside.write_text(out, file, json_text(found.to_json()))
    return found


def _measured(entrant: Entrant, data: DataSet, config: Config, request: LandscapeRequest) -> NetworkLandscape:
    compute = resolve(config.compute)
    split = getattr(data, request.split)
    indices = order(len(split), seed=config.seed, keys=("flatness images",))[: request.images].sort().values
    loader = [(entrant.normalise(x_NCHW), labels_N) for x_NCHW, labels_N in batches(split, 250, indices)]
    try:
        found = flatness(
            entrant.network().to(compute.device),
            loader,
            sigmas=request.sigmas,
            draws=request.draws,
            relative=request.relative,
            seed=config.seed,
            device=str(compute.device),
            **request.views.arguments(),
        )
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ConfigError(f"network {entrant.name} cannot be measured: {reason}") from error
    return NetworkLandscape.of(found, name=entrant.name, origin=entrant.origin, genotype=entrant.genotype)
