"""`lowland compare`: the network a run delivered beside references of equal size, by one recipe, over several seeds.

The folder it writes holds `settings.json` (what must not change), `networks/<name>/seed-<s>/` (one training each, see
`evaluation.contest`), `compare.json` (figures, settings, environment) and `compare.html`. The same command again goes
on where it stopped; further references or seeds are added to what is there.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lowland._version import __version__
from lowland.core.config import Config
from lowland.core.device import environment
from lowland.core.errors import ConfigError, InterruptedRun, RunError
from lowland.core.files import json_text
from lowland.core.monitor import Monitor
from lowland.core.registry import EXECUTORS
from lowland.evaluation.references import Budget, Sized, Trial, default_references, references_result, sized
from lowland.report import comparison_page
from lowland.store import inside
from lowland.store.run import Run
from lowland.workflow.evaluation_tasks import evaluation_pool
from lowland.workflow.out_folder import opened
from lowland.workflow.session import Session
from lowland.workflow.trial import trial

SUITES = ("classification", "corruptions")
"""How networks can be judged; on clean test images they always are."""

RESULT, PAGE = "compare.json", "compare.html"
NAME = re.compile(r"(published:)?[A-Za-z][A-Za-z0-9_.-]*(@[a-z]+)?|timm:[A-Za-z][A-Za-z0-9_.-]*(@[^,|]*)?")
"""The name of a reference, perhaps with its norm or its weights, rather than a genotype."""

FORMAT = 1
"""Version of the layout of the folder and of compare.json."""


@dataclass(frozen=True, kw_only=True)
class ComparisonRequest:
    """What a delivered network is to be compared with.

    Attributes:
        references: Names as `spaces.references.find` takes them; none: the defaults of the run's space.
        seeds: Trainings of each network.
        suites: How they are judged.
        fit: Whether references have the width that fills the budget, or their own.
        max_params: Most parameters of a reference; None: as many as the delivered network has.
        max_macs: Most multiply-accumulates of a reference; None: as many as the delivered network has.
    """

    references: tuple[str, ...] = ()
    seeds: int = 3
    suites: tuple[str, ...] = SUITES
    fit: bool = True
    max_params: int | None = None
    max_macs: int | None = None


def compare(path: Path, out: Path, request: ComparisonRequest, *, monitor: Monitor | None = None) -> dict[str, Any]:
    """Compare the network that the run at `path` delivered, on this machine.

    Args:
        path: Run directory.
        out: Folder to make, or to go on with.
        request: What with, and how.
        monitor: Hears how it goes, and asks for a stop.

    Returns:
        What compare.json holds.

    Raises:
        LowlandError: the request, the run or the machine does not allow it; nothing is then written.
        RunError: the run has no trained network, or `out` is another comparison or something else.
        InterruptedRun: the monitor asked for a stop; the same command goes on.
    """
    monitor = monitor or Monitor()
    _check(request)
    with Run.open(path, read_only=True) as run:
        if not run.stage_done("train"):
            raise RunError(f"run {path} has no trained network to compare yet; finish it with `lowland resume {path}`")
        session = Session(run, monitor)
        if EXECUTORS.load(run.config.compute.executor).everywhere:
            # A comparison may be made where that cluster is not; the figures are the same.
            here = run.config.compute.model_copy(update={"executor": "local"})
            run.config = run.config.model_copy(update={"compute": here})
            monitor.note("the run was made on a cluster; this comparison trains and judges on this machine")
        with evaluation_pool(session) as pool:
            met = trial(session, out, corruptions="corruptions" in request.suites, pool=pool)
            return _compared(run.config, met, out, request)


def _compared(config: Config, met: Trial, out: Path, request: ComparisonRequest) -> dict[str, Any]:
    delivered, terms, data = met.delivered, met.terms, met.terms.data
    own = Budget.of(delivered)
    budget = Budget(
        parameters=own.parameters if request.max_params is None else request.max_params,
        macs=own.macs if request.max_macs is None else request.max_macs,
    )
    references = _references(request, met, budget)
    fixed = {
        "format": FORMAT,
        "network": met.digest,
        "data": data.fingerprint,
        "recipe": config.retrain.compared(),
        "budget": asdict(budget) if request.fit else None,
    }
    lock = opened(out, fixed, own={RESULT, PAGE, "networks", "judging"}, what="a comparison")
    try:
        results = references_result(met, references, seeds=request.seeds)
        document = {
            "format": FORMAT,
            "lowland": __version__,
            "space": config.space,
            "seed": config.seed,
            "data": {
                "name": data.name,
                "fingerprint": data.fingerprint,
                "classes": data.num_classes,
                "image_size": data.image_size,
                "in_channels": data.in_channels,
                "train": len(data.train) + (len(data.search) if config.retrain.include_search_split else 0),
            },
            "recipe": fixed["recipe"],
            "budget": fixed["budget"],
            "environment": environment(terms.compute),
            **results.to_json(),
        }
        inside.write_text(out, RESULT, json_text(document))
        inside.write_text(out, PAGE, comparison_page.render(document))
    except InterruptedRun as stop:
        raise InterruptedRun("stopped at a safe point; run the same command again to go on") from stop
    finally:
        lock.release()
    return document


def reference_names(asked: Iterable[str]) -> tuple[str, ...]:
    """The names in values of `--with`: each value is one genotype, or names separated by commas."""
    found: list[str] = []
    for value in asked:
        parts = [part.strip() for part in value.split(",") if part.strip()]
        # Names hold letters, digits and a few marks; a genotype in which commas separate something holds other marks,
        # or its parts are numbers.
        names = all(NAME.fullmatch(part) for part in parts)
        found += parts if names else [value.strip()]
    return tuple(found)


def _check(request: ComparisonRequest) -> None:
    if request.seeds < 1:
        raise ConfigError(f"--seeds {request.seeds} must be at least 1")
    for name in request.suites:
        if name not in SUITES:
            near = difflib.get_close_matches(name, SUITES, n=1)
            guess = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(f"--suites {name!r}{guess} cannot be compared; choose of {', '.join(SUITES)}")
    if not request.fit and (request.max_params is not None or request.max_macs is not None):
        raise ConfigError("--no-fit leaves every reference at its own width; leave out --max-params and --max-macs")


def _references(request: ComparisonRequest, met: Trial, budget: Budget) -> list[Sized]:
    if request.references:
        return sized(request.references, met, budget if request.fit else None)
    found = default_references(met, budget)
    if not found:
        raise ConfigError("none of the usual references can be built within this budget; name others with --with")
    return found
