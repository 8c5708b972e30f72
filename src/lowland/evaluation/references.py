"""Was the search worth it? The delivered network beside references of equal size, trained by the same recipe."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lowland.core.errors import BudgetError, ConfigError
from lowland.delivery.network import Network
from lowland.evaluation.comparison import ComparisonResults, Hits, NetworkRow, SeedRow, differences
from lowland.evaluation.contest import Training, begin, contest
from lowland.evaluation.terms import Terms
from lowland.spaces import Cost, Shape, get
from lowland.spaces.reference import Reference
from lowland.spaces.references import SpaceReference, defaults, find
from lowland.spaces.values import AS_PUBLISHED

DELIVERED = "delivered"
"""Name of the delivered network in tables and folders."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What a reference may cost; None: any number."""

    parameters: int | None
    macs: int | None

    @classmethod
    def of(cls, network: Network) -> Budget:
        """The parameters of a network, and at most its MACs."""
        cost = get(network.genotype.space).cost(network.genotype, network.shape)
        return cls(parameters=cost.parameters, macs=cost.macs)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A delivered network, and the terms on which it meets references.

    Attributes:
        delivered: The network, trained by `terms.recipe` with `terms.seed`.
        digest: SHA-256 of its weights.
        terms: What is the same for all networks.
        folder: Where networks and results are kept; what is there already is not done again.
        seconds: Training time of the delivered network, where it is known.
        cells: Depth of references of the same space: that of the settings, which nobody searched for; None: the
            delivered network's.
    """

    delivered: Network
    digest: str
    terms: Terms
    folder: Path
    seconds: float | None = None
    cells: int | None = None

    @property
    def usual(self) -> Shape:
        """The delivered network's shape, at the depth that nobody searched for, otherwise as published."""
        shape = replace(self.delivered.shape, **AS_PUBLISHED)
        return shape if self.cells is None else replace(shape, cells=self.cells)


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A network of a certain size."""

    reference: Reference
    shape: Shape

    @property
    def cost(self) -> Cost:
        """Its size in numbers."""
        return self.reference.cost(self.shape)

    @property
    def folder(self) -> str:
        """A name for the file system."""
        return re.sub(r"[^A-Za-z0-9._-]+", "-", self.reference.name)


def sized(names: Iterable[str], trial: Trial, budget: Budget | None) -> list[Sized]:
    """The references of these names, each at the width that fills the budget; None: at their own width.

    Those of the found network's space have the depth of the settings.

    Returns:
        One for each name, in their order.

    Raises:
        ConfigError: a name is unknown or given twice, or the network cannot be built for the delivered one's images.
        GenotypeError: a genotype is none.
        BudgetError: even the narrowest is above the budget; says what it needs.
    """
    found: list[Sized] = []
    for name in names:
        reference = find(name, trial.delivered.genotype.space, trial.usual.image_size)
        shape = reference.own_shape(trial.usual, trial.delivered.genotype.space)
        if budget is not None:
            try:
                shape = reference.fitted(shape, parameters=budget.parameters, macs=budget.macs)
            except BudgetError as error:
                raise BudgetError(f"reference {reference.name}: {error}") from error
        named = Sized(reference=reference, shape=shape)
        if any(other.reference.text == reference.text for other in found):
            raise ConfigError(f"reference {reference.name} is named twice; name each once")
        if any(other.folder == named.folder for other in found):
            raise ConfigError(f"two references are called {reference.name}; rename the file of one of them")
        found.append(named)
    return found


def default_references(trial: Trial, budget: Budget) -> list[Sized]:
    """The space's default references, without those that cannot be built for these images within the budget.

    Nor one that is the delivered network itself, of the same size: the search chose what was written by hand.

    Returns:
        Perhaps none; what is left out is noted.
    """
    delivered, monitor = trial.delivered, trial.terms.monitor
    space = get(delivered.genotype.space)
    found: list[Sized] = []
    for name in defaults(space.name):
        try:
            (each,) = sized([name], trial, budget)
        except (BudgetError, ConfigError) as error:
            monitor.note(f"no comparison with {name}: {error}")
            continue
        genotype = each.reference.genotype
        same = (
            genotype is not None
            and genotype.space == space.name
            and space.key(genotype) == space.key(delivered.genotype)
        )
        if same and each.shape == delivered.shape:
            monitor.note(f"the delivered network is {name} itself, which is so no comparison")
            continue
        found.append(each)
    return found


def references_result(trial: Trial, references: Sequence[Sized], *, seeds: int = 1) -> ComparisonResults:
    """Train references and judge them beside the delivered network; with more seeds its genotype is trained, too.

    The k-th training of every network has seed s + k, s being the run's. The delivered network is the first training
    of its genotype and is not trained again.

    Args:
        trial: The delivered network and the terms.
        references: What it is compared with.
        seeds: Trainings of each network, at least 1.

    Returns:
        A row for every network, with differences paired seed by seed on the same test images.

    Raises:
        ConfigError: `seeds` is less than 1.
        InterruptedRun: the monitor asked for a stop; calling it again goes on.
    """
    terms = trial.terms
    folder = trial.folder.absolute()  # paths below a folder are taken as relative to it
    trainings = _trainings(trial, references, seeds)
    own = _own(trial)
    hits = contest(trainings, terms, folder)
    of = {
        each.folder: [training for training in trainings if training.folder.parent.name == each.folder]
        for each in (own, *references)
    }
    winner_hits = [hits[training.key] for training in of[own.folder]]
    rows = [_row(own, of[own.folder], hits, terms, None, trial.seconds)]
    rows += [_row(each, of[each.folder], hits, terms, winner_hits, None) for each in references]
    shifted = terms.shifted
    return ComparisonResults(
        networks=tuple(rows),
        images=len(terms.data.test),
        corrupted_images=0 if shifted is None else shifted.count,
        corruptions=() if shifted is None else shifted.names,
        severities=() if shifted is None else shifted.severities,
    )


def begin_references(trial: Trial, references: Sequence[Sized], *, seeds: int = 1) -> None:
    """Begin the trainings that `references_result` will need, where they can go on beside something else."""
    begin(_trainings(trial, references, seeds), trial.terms, trial.folder.absolute())


def _own(trial: Trial) -> Sized:
    return Sized(reference=_as_reference(trial.delivered), shape=trial.delivered.shape)


def _trainings(trial: Trial, references: Sequence[Sized], seeds: int) -> list[Training]:
    """Of the delivered network and every reference, seed by seed; raises ConfigError without a seed."""
    if seeds < 1:
        raise ConfigError(f"a comparison needs at least 1 seed, got {seeds}")
    terms, own = trial.terms, _own(trial)
    folder = trial.folder.absolute()
    return [
        Training(
            reference=each.reference,
            shape=each.shape,
            seed=terms.seed + index,
            root=folder,
            folder=folder / "networks" / each.folder / f"seed-{terms.seed + index}",
            delivered=trial.delivered.body if each is own and index == 0 else None,
            digest=trial.digest if each is own and index == 0 else "",
        )
        for index in range(seeds)
        for each in (own, *references)
    ]


def _as_reference(delivered: Network) -> SpaceReference:
    return SpaceReference(DELIVERED, delivered.genotype, "found by the search")


def _row(
    of: Sized,
    trainings: Sequence[Training],
    hits: Mapping[str, Hits],
    terms: Terms,
    winner_hits: Sequence[Hits] | None,
    seconds: float | None,
) -> NetworkRow:
    own = [hits[training.key] for training in trainings]
    seeds = tuple(
        SeedRow(
            seed=training.seed,
            top1=found.top1,
            corrupted=found.corrupted,
            seconds=seconds if training.delivered is not None else (training.facts(terms) or {}).get("seconds"),
            delivered=training.delivered is not None,
        )
        for training, found in zip(trainings, own, strict=True)
    )
    clean, shifted = differences(winner_hits, own) if winner_hits is not None else (None, None)
    return NetworkRow(
        name=of.reference.name,
        family=of.reference.family,
        text=of.reference.text,
        source=of.reference.source,
        channels=of.shape.channels,
        cells=of.shape.cells,
        parameters=of.cost.parameters,
        macs=of.cost.macs,
        norm=of.shape.norm,
        lacks=terms.lacking(of.reference),
        learned=of.reference.learned,
        seeds=seeds,
        difference=clean,
        corrupted_difference=shifted,
    )
