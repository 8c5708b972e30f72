"""How accurate the networks of all searches are: looked up in a table, or trained by one recipe at one size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lowland.core.config import Config
from lowland.core.device import resolve
from lowland.core.errors import DataError
from lowland.core.genotype import Genotype
from lowland.core.monitor import Monitor
from lowland.data import load
from lowland.evaluation.contest import Training, contest
from lowland.evaluation.ranking.truth import Truth
from lowland.evaluation.terms import Terms
from lowland.spaces import Space
from lowland.spaces.references import SpaceReference
from lowland.workflow.network_size import network_shape
from lowland.workflow.search_comparison.networks import Network
from lowland.workflow.trial import shifted

Reached = dict[tuple[str, int], tuple[float, float | None, int, int]]
"""By search and seed: accuracy, mean accuracy under corruption (both in percent), parameters, MACs."""


class Accuracies(Protocol):
    """Where accuracies come from."""

    @property
    def name(self) -> str:
        """The column of a table, or `retrained`."""

    @property
    def described(self) -> dict[str, Any]:
        """What decided them, as JSON."""

    def of(self, networks: Sequence[Network]) -> Reached:
        """Those of the networks."""


class LookedUp:
    """Accuracies in a table of full trainings.

    Args:
        truth: The table.
        space: Of its architectures.
    """

    def __init__(self, truth: Truth, space: Space) -> None:
        self.truth, self.space = truth, space
        self.name = next(iter(truth.columns))
        self._rows = {genotype: row for row, genotype in enumerate(truth.genotypes)}

    @property
    def described(self) -> dict[str, Any]:
        """Of the file, what says which it was."""
        return {"column": self.name, "file": self.truth.path.name, "sha256": self.truth.digest}

    @cached_property
    def _by_key(self) -> dict[str, int]:
        return {self.space.key(genotype): row for genotype, row in self._rows.items()}

    def of(self, networks: Sequence[Network]) -> Reached:
        """Look them up; of an architecture that is not there, one that computes the same.

        Returns:
            By search and seed.

        Raises:
            DataError: there is none.
        """
        found: Reached = {}
        others = [values for name, values in self.truth.columns.items() if name != self.name]
        for each in networks:
            row = self._rows.get(each.genotype)
            if row is None:
                row = self._by_key.get(self.space.key(each.genotype))
            if row is None:
                raise DataError(
                    f"truth file {self.truth.path} has no accuracy of {each.best.genotype}, which {each.search} found "
                    f"with seed {each.seed}; give a table of the whole space, or leave --truth out to have networks "
                    "trained"
                )
            shift = float(others[0][row]) if others else None
            accuracy = float(self.truth.columns[self.name][row])
            found[each.search, each.seed] = (accuracy, shift, each.best.parameters, each.best.macs)
        return found


class Retrained:
    """Each network trained by the recipe of the settings, with the seed of its search, and judged on test images.

    Args:
        config: Settings; those of every search say the same of data, size and recipe.
        out: Folder of the comparison.
        monitor: Hears how it goes, and asks for a stop.
        corruptions: Whether networks are judged under corruption, too.
    """

    name = "retrained"

    def __init__(self, config: Config, out: Path, monitor: Monitor, *, corruptions: bool) -> None:
        self.config, self.out, self.monitor, self.corruptions = config, out.absolute(), monitor, corruptions

    @property
    def described(self) -> dict[str, Any]:
        """The recipe."""
        return {"recipe": self.config.retrain.compared(), "corruptions": self.corruptions}

    def of(self, networks: Sequence[Network]) -> Reached:
        """Train and judge what is not trained yet; a network that two searches find with one seed is trained once."""
        found: Reached = {}
        for seed in sorted({each.seed for each in networks}):
            terms = self._terms(seed)
            trainings = {
                (each.search, each.seed): self._training(each.genotype, terms) for each in networks if each.seed == seed
            }
            distinct = {training.key: training for training in trainings.values()}
            hits = contest(list(distinct.values()), terms, self.out)
            for place, training in trainings.items():
                cost = training.reference.cost(training.shape)
                of = hits[training.key]
                found[place] = (of.top1, of.corrupted, cost.parameters, cost.macs)
        return found

    def _terms(self, seed: int) -> Terms:
        """Those of the searches of a seed: test images that one of them learnt from are none."""
        config = self.config.model_copy(update={"seed": seed})
        compute = resolve(config.compute)
        data = load(config.data, seed=seed, device=compute.device)
        return Terms(
            recipe=config.retrain,
            data=data,
            compute=compute,
            seed=seed,
            batch_size=config.evaluate.batch_size,
            shifted=shifted(config, data) if self.corruptions else None,
            checkpoint_seconds=config.compute.checkpoint_seconds,
            monitor=self.monitor,
        )

    def _training(self, genotype: Genotype, terms: Terms) -> Training:
        name = "-".join(map(str, genotype.genes))
        return Training(
            reference=SpaceReference(name, genotype, "found by a search"),
            shape=network_shape(self.config, terms.data, genotype),
            seed=terms.seed,
            root=self.out,
            folder=self.out / "networks" / name / f"seed-{terms.seed}",
        )
