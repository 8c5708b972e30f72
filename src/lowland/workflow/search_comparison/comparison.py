"""`lowland compare --searchers`: searches beside one another at equal time (GeNAS, Table 3 and Fig. 4, at any scale).

The folder it writes holds `<searcher>/<seed>/`, an ordinary run each, `judge/`, the run whose supernet judges all
networks, `archive.sqlite` (these scores), `networks/` (trainings, where accuracies are not looked up), `settings.json`
(what must not change), `searches.json` and `searches.html`. The same command again goes on where it stopped; further
searchers and seeds are added to what is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lowland import spaces
from lowland._version import __version__
from lowland.core.config import Config
from lowland.core.device import environment, resolve
from lowland.core.errors import BudgetError, ConfigError, InterruptedRun, RunError
from lowland.core.files import json_text
from lowland.core.monitor import Monitor
from lowland.core.settings import merge
from lowland.core.torch_settings import settings_kept
from lowland.evaluation.ranking.truth import Truth, read_truth
from lowland.evaluation.search_comparison import SearchComparison, SearchRow
from lowland.report import search_comparison_page
from lowland.search import Archive
from lowland.store import inside
from lowland.store.lock import Lock
from lowland.store.manifest import ARCHIVE, LOCK, MANIFEST
from lowland.store.run import Run
from lowland.training.parallel import join
from lowland.workflow import pipeline
from lowland.workflow.changes import with_absolute_paths
from lowland.workflow.checks import check
from lowland.workflow.search_comparison.accuracies import Accuracies, LookedUp, Retrained
from lowland.workflow.search_comparison.configurations import Configuration
from lowland.workflow.search_comparison.judging import judged
from lowland.workflow.search_comparison.networks import Network, found, network
from lowland.workflow.search_comparison.request import JUDGE, RESERVED, SearchesRequest, judge_settings, settings

SETTINGS, RESULT, PAGE = "settings.json", "searches.json", "searches.html"
FORMAT = 1
"""Version of the layout of the folder and of searches.json."""


@settings_kept()
def compare_searches(
    request: SearchesRequest, out: Path, layers: Sequence[dict[str, Any]] = (), *, monitor: Monitor | None = None
) -> dict[str, Any]:
    """Let every search look for a network with every seed, and put what they found beside one another.

    Args:
        request: Which searches, how often, and where accuracies come from.
        out: Folder to make, or to go on with.
        layers: Settings of all runs, weakest first; `budget` is the time of each search.
        monitor: Hears how it goes, and asks for a stop.

    Returns:
        What searches.json holds.

    Raises:
        ConfigError: the request is wrong, a setting is, or a search cannot search this space; nothing is written.
        BudgetError: one of the searches cannot be done within the budget; nothing is written.
        DataError: the data or the truth cannot be used.
        RunError: `out` is something else, or a comparison with other settings.
        InterruptedRun: the monitor asked for a stop; the same command goes on.
    """
    monitor = monitor or Monitor()
    if join().size > 1:
        raise ConfigError("lowland compare runs in one process; start it without torchrun")
    searches = request.checked()
    configs = {each.name: settings(each, layers) for each in searches}
    config, judge = configs[searches[0].name], judge_settings(layers)
    _require_one_space(configs)
    truth, ready = None, dict[str, pipeline.Prepared]()
    if request.truth is not None:
        truth = read_truth(request.truth, spaces.get(config.space), column=request.truth_column)
    for name, asked in {**configs, JUDGE: judge}.items():
        try:
            data = check(asked)
            # Before hours of other searches, and not after them. One that is there already goes on as it began.
            if name != JUDGE and asked.budget is not None and not (_path(out, name, asked) / MANIFEST).exists():
                ready[name] = pipeline.prepared(asked, data, "search", join())
        except (BudgetError, ConfigError) as error:
            raise type(error)(f"search {name}: {error}") from error
    accuracies = _accuracies(request, truth, judge, out, monitor)
    lock = _opened(out, _fixed(configs, truth, request))
    try:
        networks = []
        for index in range(request.seeds):
            for each in searches:
                seed = configs[each.name].seed + index
                monitor.say(f"search   {each.name}, seed {seed} ({index + 1} of {request.seeds})")
                first = ready.get(each.name) if index == 0 else None  # its run has not to be timed again
                networks.append(_searched(each, settings(each, layers, seed), out, monitor, first))
        rows = _rows(searches, networks, judge, accuracies, out, monitor)
        document = {
            "format": FORMAT,
            "lowland": __version__,
            "space": config.space,
            "preset": config.preset,
            "budget": config.budget,
            "seeds": [config.seed + index for index in range(request.seeds)],
            "data": {"name": data.name, "train": len(data.train), "search": len(data.search), "test": len(data.test)},
            "accuracies": accuracies.described,
            "environment": environment(resolve(judge.compute)),
            **SearchComparison(rows=rows, accuracy=accuracies.name).to_json(),
        }
        inside.write_text(out, RESULT, json_text(document))
        inside.write_text(out, PAGE, search_comparison_page.render(document))
    except InterruptedRun as stop:
        raise InterruptedRun("stopped at a safe point; run the same command again to go on") from stop
    finally:
        lock.release()
    return document


def _require_one_space(configs: Mapping[str, Config]) -> None:
    (first, config), *others = configs.items()
    for name, other in others:
        if other.space != config.space:
            raise ConfigError(
                f"search {name} is in space {other.space} and {first} in {config.space}; say which with --space"
            )


def _accuracies(
    request: SearchesRequest, truth: Truth | None, judge: Config, out: Path, monitor: Monitor
) -> Accuracies:
    if truth is not None:
        return LookedUp(truth, spaces.get(judge.space))
    suites = ("classification",) if request.suites is None else request.suites
    return Retrained(judge, out, monitor, corruptions="corruptions" in suites)


def _path(out: Path, name: str, config: Config) -> Path:
    return out / name / str(config.seed)


def _searched(
    each: Configuration, config: Config, out: Path, monitor: Monitor, ready: pipeline.Prepared | None
) -> Network:
    """Carry a search to its end, unless it is there."""
    path = _path(out, each.name, config)
    if not (path / MANIFEST).exists():
        pipeline.run(config, path, monitor=monitor, last="search", ready=ready)
    with Run.open(path, read_only=True) as opened:
        done = opened.stage_done("search")
    if not done:
        pipeline.resume(path, monitor=monitor, last="search")
    with Run.open(path, read_only=True) as opened:
        return network(each.name, opened)


def _rows(
    searches: Sequence[Configuration],
    networks: Sequence[Network],
    judge: Config,
    accuracies: Accuracies,
    out: Path,
    monitor: Monitor,
) -> tuple[SearchRow, ...]:
    home = out / JUDGE
    monitor.say("judge    a supernet that none of the searches saw")
    if (home / MANIFEST).exists():
        pipeline.resume(home, monitor=monitor, last="supernet")
    else:
        pipeline.run(judge, home, monitor=monitor, last="supernet")
    with Run.open(home, read_only=True) as opened, Archive(out / ARCHIVE) as archive:
        scores = judged(opened, [one for each in networks for one in each.genotypes], archive, monitor)
    reached = accuracies.of(networks)
    return tuple(
        SearchRow(
            name=each.name,
            summary=each.summary,
            source=each.source,
            gpu_days=each.gpu_days,
            found=tuple(
                found(one, reached[one.search, one.seed], scores) for one in networks if one.search == each.name
            ),
        )
        for each in searches
    )


def _fixed(configs: Mapping[str, Config], truth: Truth | None, request: SearchesRequest) -> dict[str, Any]:
    """What decides every figure."""
    source = None if truth is None else {"file": truth.digest, "column": request.truth_column}
    searches = {name: with_absolute_paths(each).model_dump(mode="json") for name, each in configs.items()}
    return {"format": FORMAT, "truth": source, "searches": searches}


def _opened(out: Path, fixed: Mapping[str, Any]) -> Lock:
    """Make the folder, or go on with it.

    Returns:
        Its lock, held.

    Raises:
        RunError: it holds another comparison, or something else.
    """
    if (out / MANIFEST).exists():
        raise RunError(f"{out} is a run directory; choose another --out")
    file = out / SETTINGS
    if out.is_dir() and any(out.iterdir()) and not file.exists():
        raise RunError(f"{out} is not empty and not a comparison of searches; choose another --out")
    inside.make_root(out)
    lock = Lock(out / LOCK)
    try:
        inside.require(out, [SETTINGS, RESULT, PAGE, ARCHIVE, *(f"{name}/any" for name in RESERVED)])
        known = _known(file) if file.exists() else None
        if known is not None:
            _require_same(out, known, fixed)
            fixed = {**fixed, "searches": {**known["searches"], **fixed["searches"]}}
        inside.write_text(out, SETTINGS, json_text(dict(fixed)))
    except BaseException:
        lock.release()
        raise
    return lock


def _known(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(inside.read(file.parent, file.name))
        if not isinstance(found, dict) or not isinstance(found.get("searches"), dict):
            raise ValueError("it holds no searches")
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{file} is damaged ({error}); put back a good copy, or choose another --out") from error
    return found


def _require_same(out: Path, known: Mapping[str, Any], fixed: Mapping[str, Any]) -> None:
    plain = json.loads(json.dumps(fixed))
    for key in ("format", "truth"):
        if known.get(key) != plain[key]:
            raise RunError(f"{out} holds a comparison with another {key}; choose another --out, or delete it")
    for name, config in plain["searches"].items():
        # A setting that there was not yet when the comparison was begun has its default there.
        old = merge(Config().model_dump(mode="json"), known["searches"].get(name, config))
        changed = [section for section in config if old.get(section) != config[section]]
        if changed:
            raise RunError(
                f"{out} holds searches of {name} with another {changed[0]}; choose another --out, or ask as before"
            )
    shared = next(iter(plain["searches"].values()))
    for name, old in known["searches"].items():
        for section in ("space", "budget", "seed"):
            if old.get(section) != shared[section]:
                raise RunError(f"{out} holds searches ({name}) with another {section}; choose another --out")
