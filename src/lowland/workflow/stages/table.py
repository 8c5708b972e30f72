"""The table of stages: in which order, what decides each, which ranks do it, what it leaves, and how it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lowland.core.config import Config
from lowland.store.artifacts import EVALUATION, HISTORY, INITIAL, SEARCH, TRAINED, TRAINING, network_folder
from lowland.store.run import ARCHIVE, Run
from lowland.workflow import searchers
from lowland.workflow.halving import RUNGS
from lowland.workflow.rungs import BEGUN
from lowland.workflow.session import Session
from lowland.workflow.stages.evaluate import evaluate_networks
from lowland.workflow.stages.report import write_report
from lowland.workflow.stages.search import search_architectures
from lowland.workflow.stages.supernet import train_supernet
from lowland.workflow.stages.train import train_networks


def _nothing(run: Run, new: Config) -> list[str]:
    return []


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run. It reads and writes only the run directory.

    Attributes:
        name: As the manifest calls it.
        decided_by: Sections of the settings, and settings beside them, that decide it and thereby all later ones.
        undecided: Dotted settings of these sections that change no result.
        also: (old, new) → whether other sections decide it, too, in how far they differ.
        ranks: Which processes under torchrun do it: all, or the first alone.
        leaves: Files and folders that hold its results, relative to the run directory.
        keeps: (run, new settings) → its files that may still hold what it would make, where its settings change.
        run: Does it.
    """

    name: str
    decided_by: tuple[str, ...]
    leaves: tuple[str, ...]
    run: Callable[[Session], None]
    undecided: tuple[str, ...] = ()
    also: Callable[[Config, Config], bool] = lambda old, new: False
    ranks: Literal["all", "first"] = "first"
    keeps: Callable[[Run, Config], list[str]] = _nothing

    def decided(self, section: str, values: dict[str, Any]) -> Any:
        """What of a section's `values` decides this stage."""
        found = values[section]
        if not isinstance(found, dict):
            return found
        return {key: value for key, value in found.items() if f"{section}.{key}" not in self.undecided}


def _another_kind_of_searcher(old: Config, new: Config) -> bool:
    """One that trains a supernet, or one that does not."""
    return searchers.chosen(new.search).supernet != searchers.chosen(old.search).supernet


def _recipe_of_finalists(old: Config, new: Config) -> bool:
    """Finalists begin the winner's training."""
    aside = {"top", "recipe"}
    return bool(new.search.finalists) and new.retrain.identity(aside) != old.retrain.identity(aside)


def _scores(run: Run, new: Config) -> list[str]:
    """Scores, and figures at rungs, carry what decided them; those that still hold are found again."""
    return [ARCHIVE, RUNGS]


def _same_networks(run: Run, new: Config) -> list[str]:
    """Networks that are trained already, where nothing but their number changes."""
    if new.retrain != run.config.retrain.model_copy(update={"top": new.retrain.top}):
        return []
    return [network_folder(rank) for rank in range(1, new.retrain.top + 1)]


def _suites(run: Run, new: Config) -> list[str]:
    """Results of suites carry a digest of what decided them; those that still hold are not found again."""
    return [file for file in run.manifest["files"] if file.startswith(f"{EVALUATION}/")]


STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            name="supernet",
            decided_by=("seed", "preset", "space", "data", "supernet", "compute"),
            undecided=("compute.executor", "compute.threads", "compute.task_threads", "compute.gpus_per_worker"),
            also=_another_kind_of_searcher,
            ranks="all",
            leaves=(INITIAL, TRAINED, HISTORY),
            run=train_supernet,
        ),
        Stage(
            name="search",
            decided_by=("measure", "finetune", "search", "network"),
            undecided=("search.workers",),
            also=_recipe_of_finalists,
            leaves=(ARCHIVE, SEARCH, RUNGS, BEGUN),
            keeps=_scores,
            run=search_architectures,
        ),
        Stage(
            name="train",
            decided_by=("retrain",),
            ranks="all",
            leaves=("network", "networks", TRAINING),
            keeps=_same_networks,
            run=train_networks,
        ),
        Stage(
            name="evaluate",
            decided_by=("evaluate",),
            leaves=(EVALUATION,),
            keeps=_suites,
            run=evaluate_networks,
        ),
        Stage(
            name="report",
            decided_by=(),
            leaves=("report.html",),
            run=lambda session: write_report(session.run, session.monitor),
        ),
    )
}
"""Every stage by name, in order. Each section of the settings decides one of them; what decides the first is fixed.

`plugins` decide none: they bring what other settings name; nor do `history` and `budget`, of which epochs were made."""
