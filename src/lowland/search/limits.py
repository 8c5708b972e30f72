"""Size limits: which genotypes may be proposed, how to draw one where few may, and the smallest there is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lowland.core.errors import BudgetError
from lowland.core.genotype import Genotype
from lowland.core.seeds import numpy_rng

if TYPE_CHECKING:
    from lowland.spaces.space import Space
    from lowland.spaces.values import Cost

ENUMERABLE = 100_000
"""Spaces of at most this many genotypes are listed in full where that gives an exact answer."""

UNIFORM_ATTEMPTS = 1000
"""Uniform draws tried for one new genotype within the limits before `sample` turns to its second method."""

_WALKS = 200
"""Walks tried for one new genotype before the legal part of a large space counts as exhausted."""

_DESCENTS = 4
_TRIES_PER_GENE = 8


class SizeLimits(Protocol):
    """What says how large a delivered network may be: the settings of a search, or a search problem."""

    @property
    def max_params(self) -> int | None:
        """Most parameters; None: any number."""

    @property
    def max_macs(self) -> int | None:
        """Most multiply-accumulates for one image; None: any number."""


def excess(limits: SizeLimits, size: Cost) -> float:
    """The larger of parameters / max_params and MACs / max_macs; 0 without limits, at most 1 where it may be."""
    return max(
        size.parameters / limits.max_params if limits.max_params is not None else 0.0,
        size.macs / limits.max_macs if limits.max_macs is not None else 0.0,
    )


def sampler(space: Space, sampling: str) -> Callable[[np.random.Generator], Genotype]:
    """How random genotypes are drawn: `networks`, uniform over all, or `genes`, every decision uniform."""
    return space.sample_genes if sampling == "genes" else space.sample


class Limits:
    """The limits `search.max_params` and `search.max_macs` on the delivered network of a genotype.

    Args:
        space: The search space.
        limits: Holds the limits; either may be absent.
        cost: Size of the delivered network of a genotype.
        seed: Run seed.
        sampling: What draws are uniform over (`sampler`).
        smaller: Settings that make networks smaller when they are lowered, for messages.
    """

    def __init__(
        self,
        space: Space,
        limits: SizeLimits,
        cost: Callable[[Genotype], Cost],
        seed: int,
        sampling: str = "networks",
        smaller: Sequence[str] = ("network.channels", "network.cells"),
    ) -> None:
        self.space = space
        self._draw = sampler(space, sampling)
        self.max_params = limits.max_params
        self.max_macs = limits.max_macs
        self._cost = cost
        self._seed = seed
        self._smaller = smaller
        self._rare = False
        self.rejected = 0

    def excess(self, genotype: Genotype) -> float:
        """`excess` of the genotype's network; 0 without limits."""
        if self.max_params is None and self.max_macs is None:
            return 0.0
        return excess(self, self._cost(genotype))

    def allow(self, genotype: Genotype) -> bool:
        """Whether the network is within the limits; a refusal is counted in `rejected`."""
        allowed = self.excess(genotype) <= 1.0
        self.rejected += not allowed
        return allowed

    def sample(self, accept: Callable[[Genotype], bool], seen: Collection[str], *keys: object) -> Genotype | None:
        """Draw a genotype within the limits whose isomorphism key is not in `seen`.

        Uniform over such genotypes (or as `sampling` says), by rejection. Where 1000 draws in a row are refused
        (the limits are near the smallest network, or most genotypes were seen), the draw turns, for the rest of the
        search, to a second method: a space of at most 100,000 genotypes is listed and the draw stays exactly uniform;
        in a larger one it is the end of a random walk of mutations that starts at the smallest network and never leaves
        the limits (Metropolis' rule for a uniform target: close to uniform over what such a walk can reach), and
        "none left" then means that 200 walks met nothing new.

        Args:
            accept: Whether a drawn genotype is within the limits and not in `seen`; called once per draw.
            seen: Isomorphism keys of the genotypes proposed before.
            keys: What this draw is for (generation, slot), so that it does not depend on any other.

        Returns:
            A genotype; None where there is none left.

        Raises:
            BudgetError: No network of the space is within the limits.
        """
        if not self._rare:
            for attempt in range(UNIFORM_ATTEMPTS):
                genotype = self._draw(numpy_rng(self._seed, "search", *keys, "uniform", attempt))
                if accept(genotype):
                    return genotype
            self._rare = True
        self.require_any()
        rng = numpy_rng(self._seed, "search", *keys, "rare")
        if self.listed is not None:
            left = [genotype for genotype, key in self.listed if key not in seen]
            return left[int(rng.integers(len(left)))] if left else None
        walks = (self._walk(rng) for _ in range(_WALKS))
        return next(filter(accept, walks), None)

    @cached_property
    def listed(self) -> list[tuple[Genotype, str]] | None:
        """Every genotype within the limits with its isomorphism key; None where the space is too large to list."""
        if self.space.size > ENUMERABLE:
            return None
        return [(genotype, self.space.key(genotype)) for genotype in self.space.all() if self.excess(genotype) <= 1.0]

    @cached_property
    def smallest(self) -> Genotype:
        """The genotype of least excess: exact where the space can be listed or is elastic, else the best of 4 descents.

        A descent starts from a uniform genotype and takes every mutation, of one gene or of several, that makes the
        network smaller, until a full round over all genes brings nothing.
        """
        if self.space.size <= ENUMERABLE:
            return min(self.space.all(), key=self._size)
        extremes = self.space.extremes()
        if extremes is not None:
            return extremes[0]
        ends = [self._descend(numpy_rng(self._seed, "search", "smallest", start)) for start in range(_DESCENTS)]
        return min(ends, key=self._size)

    def require_any(self) -> None:
        """Raise BudgetError, naming the smallest network and what to change, where none is within the limits."""
        if self.excess(self.smallest) <= 1.0:
            return
        size = self._cost(self.smallest)
        asked, given, remedy = [], [], []
        if self.max_params is not None:
            asked.append(f"{self.max_params:,} parameters")
            given.append(f"{size.parameters:,} parameters")
            if size.parameters > self.max_params:
                remedy.append(f"search.max_params to {size.parameters}")
        if self.max_macs is not None:
            asked.append(f"{self.max_macs:,} multiply-accumulates")
            given.append(f"{size.macs:,} multiply-accumulates")
            if size.macs > self.max_macs:
                remedy.append(f"search.max_macs to {size.macs}")
        which = "nearest" if len(asked) > 1 else "smallest"
        found = "" if self.space.size <= ENUMERABLE else " found"
        lower = f", or lower {' or '.join(self._smaller)}" if self._smaller else ""
        raise BudgetError(
            f"no network of {self.space.name} has at most {' and '.join(asked)}: the {which}{found} has "
            f"{' and '.join(given)}; raise {' and '.join(remedy)}{lower}"
        )

    def _size(self, genotype: Genotype) -> tuple[float, int, tuple[int, ...]]:
        return self.excess(genotype), self._cost(genotype).parameters, genotype.genes

    def _descend(self, rng: np.random.Generator) -> Genotype:
        best = self.space.sample(rng)
        size = self._size(best)
        genes = len(best.genes)
        improved = True
        while improved:
            improved = False
            for gene in range(genes):
                for attempt in range(_TRIES_PER_GENE):
                    # Where genes hang together (two inputs per node), some steps need several of them to change.
                    several = attempt % 4 == 3
                    child = (
                        self.space.mutate(best, rng, min(1.0, 2 / genes), None)
                        if several
                        else self.space.mutate(best, rng, 1.0, range(gene, gene + 1))
                    )
                    child_size = self._size(child)
                    if child_size < size:
                        best, size, improved = child, child_size, True
        return best

    def _walk(self, rng: np.random.Generator) -> Genotype:
        current = self.smallest
        genes = len(current.genes)
        for _ in range(10 * genes):
            step = self.space.mutate(current, rng, min(1.0, 2 / genes), None)
            if self.excess(step) <= 1.0:
                current = step
        return current
