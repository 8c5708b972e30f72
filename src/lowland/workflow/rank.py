"""`lowland rank`: many measures on one supernet or several, and how well each orders genotypes as ground truth does.

The folder it writes holds `run/` (the supernet, a run directory as any other; not made where an existing run is
given), `archive.sqlite` (every score, durable), `rank.json` (settings, environment, statistics, scores) and
`rank.html`. The same command again goes on where it stopped, or only repeats the statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import reduce
from pathlib import Path
from typing import Any

from lowland import spaces
from lowland.core.config import Config, build
from lowland.core.errors import ConfigError, DataError, InterruptedRun, RunError
from lowland.core.files import json_text
from lowland.core.monitor import Monitor
from lowland.core.settings import merge
from lowland.core.torch_settings import settings_kept
from lowland.evaluation.ranking.truth import read_truth
from lowland.report import ranking_page
from lowland.store import inside
from lowland.store.lock import Lock
from lowland.store.manifest import ARCHIVE, LOCK, MANIFEST
from lowland.store.run import Run
from lowland.training.parallel import join
from lowland.workflow import pipeline, plugins
from lowland.workflow.changes import with_absolute_paths
from lowland.workflow.checks import check
from lowland.workflow.presets import assemble, complete
from lowland.workflow.ranking.document import RESULT, judged
from lowland.workflow.ranking.request import LEAST, MEASURES, RankingRequest, checked
from lowland.workflow.session import Session

__all__ = ["LEAST", "MEASURES", "RankingRequest", "rank", "settings"]

RUN, PAGE = "run", "rank.html"

FIXED = ("seed", "preset", "space", "data", "supernet")
"""Sections of the settings that decide the supernet; the others may differ from those it was trained with."""


@settings_kept()
def rank(
    request: RankingRequest,
    out: Path,
    layers: Sequence[dict[str, Any]] = (),
    *,
    supernets: Sequence[Path] = (),
    monitor: Monitor | None = None,
) -> dict[str, Any]:
    """Score the sampled genotypes by every measure and compare with the truth.

    With several supernets a measure's value is the sum of the ranks that it gives on each of them: what a measure of
    trained weights says depends on the one training run, and much of that is averaged away.

    Args:
        request: What is to be ranked.
        out: Folder to make, or to go on with.
        layers: Settings, weakest first. Of an existing supernet those that decide it cannot be changed.
        supernets: Run directories whose trained supernets are used, read only; none: one is trained in `out`/run.
        monitor: Hears how it goes.

    Returns:
        What rank.json holds.

    Raises:
        ConfigError: it runs under torchrun, or settings, supernets and request do not go together.
        DataError: the truth is malformed or holds too few genotypes.
        LowlandError: a setting, the truth, the data or the machine does not allow it; nothing is then written.
        InterruptedRun: the monitor asked for a stop; the same command goes on.
    """
    monitor = monitor or Monitor()
    if join().size > 1:
        raise ConfigError("lowland rank runs in one process; train the supernet with torchrun, then give --supernet")
    home = supernets[0] if supernets else out / RUN
    begun = (home / MANIFEST).is_file()
    config = settings(home, layers, exact=not supernets) if begun or supernets else assemble(*layers)
    others = {path: settings(path, layers, exact=False) for path in supernets[1:]}
    require_alike(supernets, config, others)
    request = checked(request, config)
    require_free(out)
    truth = read_truth(
        request.truth,
        spaces.get(config.space),
        column=request.truth_column,
        shift_column=request.shift_column,
    )
    chosen = truth.sample(request.sample, request.sample_seed)
    if len(chosen) < LEAST:
        raise DataError(
            f"truth file {truth.path} holds {len(chosen)} different architectures, but a rank correlation needs at "
            f"least {LEAST}; add some rows"
        )
    # Before the data's path is made absolute, so that a fault is told in the person's own words.
    data = None if begun else check(config)
    config = with_absolute_paths(complete(config))
    inside.make_root(out)
    inside.require_no_links(out)
    lock = Lock(out / LOCK)
    try:
        inside.clear_temporary(out, below=False)
        if not supernets:
            if not begun:
                Run.create(home, config).close()
            pipeline.resume(home, monitor=monitor, last="supernet", data=data)
        with ExitStack() as stack:
            sessions = []
            for path, wanted in {home: config, **others}.items():
                opened = stack.enter_context(Run.open(path, read_only=True))
                opened.config = wanted  # read only: nothing of the run is changed
                sessions.append(Session(opened, monitor, given=data))
            document = judged(request, truth, chosen, sessions, out)
        inside.write_text(out, RESULT, json_text(document))
        inside.write_text(out, PAGE, ranking_page.render(document))
    except InterruptedRun as stop:
        raise InterruptedRun("stopped at a safe point; run the same command again to go on") from stop
    finally:
        lock.release()
    return document


def settings(home: Path, layers: Sequence[dict[str, Any]], *, exact: bool) -> Config:
    """Put `layers` over the settings of the run at `home`, or with `exact` over the defaults alone.

    Returns:
        The checked settings.

    Raises:
        ConfigError: what decides the supernet would be another.
        RunError: there is no such run, or it is not one that can be used.
    """
    with Run.open(home, read_only=True) as opened:
        plugins.require(opened)
        old = opened.config
        if not exact and not opened.stage_done("supernet"):
            raise RunError(f"run {home} has no trained supernet yet; make it with `lowland supernet {home}`")
    new = assemble(*layers) if exact else build(reduce(merge, layers, old.model_dump(mode="json")))
    new = with_absolute_paths(complete(new))
    for section in FIXED:
        if getattr(new, section) != getattr(old, section):
            remedy = "choose another --out" if exact else "leave that setting out, or train another supernet"
            raise ConfigError(f"{section} differs from what the supernet in {home} was trained with; {remedy}")
    return new


def require_alike(supernets: Sequence[Path], config: Config, others: Mapping[Path, Config]) -> None:
    """Raise ConfigError where supernets that are to judge together differ in more than their training and seed."""
    places = [path.resolve() for path in supernets]
    twice = next((path for path, place in zip(supernets, places, strict=True) if places.count(place) > 1), None)
    if twice is not None:
        raise ConfigError(f"--supernet {twice} is given twice; give each run once")
    for path, other in others.items():
        # A run keeps settings of the measures that it was asked for; they differ only where values do.
        theirs, ours = complete(other, config.measure.options), complete(config, other.measure.options)
        for section in ("space", "data", "measure"):
            if getattr(theirs, section) != getattr(ours, section):
                raise ConfigError(
                    f"{section} of {path} differs from that of {supernets[0]}; supernets that judge together must "
                    "differ only in how they were trained and in their seed"
                )


def require_free(out: Path) -> None:
    """Raise RunError where `out` holds anything but an earlier ranking."""
    if (out / MANIFEST).exists():
        raise RunError(f"{out} is a run directory; to rank with its supernet give --supernet {out} and another --out")
    own = {RUN, RESULT, PAGE, LOCK, ARCHIVE, f"{ARCHIVE}-wal", f"{ARCHIVE}-shm"}
    others = sorted(p.name for p in out.iterdir() if p.name not in own and p.suffix != ".tmp") if out.is_dir() else []
    if others:
        raise RunError(f"{out} is not empty and not a ranking (it holds {others[0]!r}); choose another --out")
