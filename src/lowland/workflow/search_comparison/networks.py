"""What one search found, read from its run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lowland import spaces
from lowland.core.errors import ConfigError
from lowland.core.genotype import Genotype
from lowland.evaluation.search_comparison import Epoch, Found, Judged
from lowland.search.gradient.architecture import skips
from lowland.spaces.relaxed import Relaxation
from lowland.store.artifacts import Ranked, Searched
from lowland.store.run import Run
from lowland.training.optimization import lengthened
from lowland.workflow import searchers


@dataclass(frozen=True, kw_only=True)
class Network:
    """The network that a search found, and how it was found.

    Attributes:
        search: Name of the search.
        seed: Of its run.
        best: The first of its ranking.
        genotype: Of the first.
        seconds: Wall time of the search, its supernet included.
        image_seconds: Of training, for 1,000 images; None where nothing was trained.
        epochs: Genes and skips after each epoch of a search by gradients.
    """

    search: str
    seed: int
    best: Ranked
    genotype: Genotype
    seconds: float
    image_seconds: float | None
    epochs: tuple[Mapping[str, Any], ...]

    @property
    def genotypes(self) -> list[Genotype]:
        """The one found, and those of the epochs."""
        return [self.genotype, *(Genotype(self.genotype.space, tuple(each["genes"])) for each in self.epochs)]


def network(search: str, opened: Run) -> Network:
    """Read what a finished search found."""
    config, searched, stages = opened.config, Searched.read(opened), opened.manifest["stages"]
    epochs = tuple(searched.relaxed["epochs"]) if searched.relaxed is not None else ()
    spent = {name: float(stages[name]["seconds"]) for name in ("supernet", "search")}
    images, searcher = opened.manifest["data"], searchers.chosen(config.search)
    taught, seen = 0.0, 0
    if searcher.supernet:
        taught, seen = spent["supernet"], lengthened(config.supernet, images["train"]).epochs * images["train"]
    elif epochs:
        # Searches that learn weights and architecture from the same images see all of them in an epoch.
        together = getattr(searcher, "learns", "") == "together"
        taught = spent["search"]
        seen = len(epochs) * (images["train"] + (images["search"] if together else 0))
    best = searched.ranking[0]
    return Network(
        search=search,
        seed=config.seed,
        best=best,
        genotype=Genotype(config.space, best.genes),
        seconds=sum(spent.values()),
        image_seconds=1000 * taught / seen if seen else None,
        epochs=epochs,
    )


def found(one: Network, accuracy: tuple[float, float | None, int, int], scores: Mapping[str, Judged]) -> Found:
    """The row of a network: what it reached (clean, corrupted, parameters, MACs), and how it is judged."""
    space = spaces.get(one.genotype.space)
    relaxation = _relaxation(one.genotype.space)
    clean, corrupted, parameters, macs = accuracy
    return Found(
        seed=one.seed,
        genotype=one.best.genotype,
        seconds=one.seconds,
        image_seconds=one.image_seconds,
        accuracy=clean,
        corrupted=corrupted,
        parameters=parameters,
        macs=macs,
        operations=None if relaxation is None else relaxation.most,
        skips={} if relaxation is None else skips(relaxation, one.genotype.genes),
        cut=any(graph.cut for graph in space.graphs(one.genotype)),
        judged=scores.get(space.key(one.genotype)),
        epochs=tuple(
            Epoch(epoch=each["epoch"], skips=each["skips"], judged=scores.get(space.key(genotype)))
            for each, genotype in zip(one.epochs, one.genotypes[1:], strict=True)
        ),
    )


def _relaxation(space: str) -> Relaxation | None:
    """What the cells of a space choose among; None of a space whose edges are no such choice."""
    try:
        return spaces.get(space).relaxation
    except ConfigError:
        return None
