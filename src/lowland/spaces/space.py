"""The search space: what can be built, counted, varied and trained.

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor, nn

from lowland.core.errors import ConfigError, GenotypeError
from lowland.core.genotype import Genotype
from lowland.core.registry import SPACES
from lowland.spaces.features import FeatureNetwork
from lowland.spaces.values import AngleTerm, CellGraph, ClassifierCount, Cost, NetworkOptions, Norm, Shape

if TYPE_CHECKING:
    from lowland.spaces.relaxed import Relaxation, RelaxedSupernet

SupernetPath = Genotype | Sequence[Genotype]
"""What a supernet runs: one genotype for all cells, or one per cell."""


class Supernet(nn.Module, ABC):
    """A weight-sharing network that contains every genotype of its space.

    Parameters of searched operations, and only they, have `.edges.` in their name.
    """

    shape: Shape
    num_cells: int

    @abstractmethod
    def forward(self, x_NCHW: Tensor, path: SupernetPath) -> Tensor:
        """Logits (N, K) of the network named by `path`, computing live operations only."""

    @abstractmethod
    def inherited(self, genotype: Genotype) -> Mapping[str, str]:
        """Standalone state-dict key → supernet state-dict key, for every parameter and buffer on the path.

        The standalone network is `space.network(genotype, supernet.shape, like_supernet=True)`. In an elastic space a
        value is a part of the tensor named, or computed from it (`extract`).
        """

    def extract(self, genotype: Genotype) -> Mapping[str, Tensor]:
        """Look up the values of a standalone network's parameters and buffers.

        Values are views or functions of the supernet's tensors that gradients flow through: copy them to keep them.

        Returns:
            Standalone state-dict key → value, for all that is on the path.
        """
        state = self.state_dict(keep_vars=True)
        return {own: state[name] for own, name in self.inherited(genotype).items()}

    def at(self, genotype: Genotype) -> Supernet:
        """What measures of `genotype` run and perturb: this supernet, whose weights they put back afterwards.

        A space whose candidates share parts of tensors gives a `Single` of the extracted network instead.

        Returns:
            This supernet, or a `Single` with copies of its weights.
        """
        del genotype
        return self

    def sort_channels(self) -> None:
        """Order channels by importance, so that narrower networks keep the best; the largest one's outputs stay.

        Raises:
            ConfigError: the supernet has no elastic expansion.
        """
        raise ConfigError(f"a {type(self).__name__} has no elastic expansion; leave supernet.shrinking empty")

    def path_parameters(self, path: SupernetPath) -> dict[str, nn.Parameter]:
        """Supernet parameters that lie on `path`, by supernet name, in the order of `named_parameters()`."""
        wanted: set[str] = set()
        if isinstance(path, Genotype):
            wanted.update(self.inherited(path).values())
        else:
            for cell, genotype in enumerate(path):
                wanted.update(v for v in self.inherited(genotype).values() if _cell_of(v) in (None, cell))
        return {name: value for name, value in self.named_parameters() if name in wanted}


def _cell_of(name: str) -> int | None:
    """The cell index in a supernet name `cells.<i>.…`, or None for stem, reduction and head."""
    head, _, rest = name.partition(".")
    return int(rest.partition(".")[0]) if head == "cells" else None


def is_searched(name: str) -> bool:
    """Whether a supernet parameter belongs to a searched operation ("search cells only" in GeNAS Table 7)."""
    return ".edges." in name


class Space(ABC):
    """A search space. Stateless: size and data enter through `Shape`."""

    name: str
    summary: str
    source: str
    gene_names: tuple[str, ...]
    """One short label per gene, such as `normal 2←0`."""

    default_supernet: Mapping[str, int]
    """`channels` and `cells` of the published supernet."""

    width_step: int = 2
    """Widths to which a network is fitted (`spaces.width`) are the multiples of this; costs never fall with them."""

    grows: bool = False
    """Whether `Shape.growth` decides widths; otherwise it must be the published 2."""

    resizes: bool = False
    """Whether `Shape.resolution` decides what networks work on; otherwise it must be 1, that of the images."""

    norms: tuple[Norm, ...] = ("batch",)
    """What `Shape.norm` may be."""

    references: Mapping[str, str] = MappingProxyType({})
    """Known networks of this space, such as hand-written ones, to compare found ones with: name → text form."""

    # --- genotypes -----------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of legal genotypes."""

    @abstractmethod
    def validate(self, genotype: Genotype) -> None:
        """Raise GenotypeError, saying which gene is wrong and what is legal, unless `genotype` is legal."""

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> Genotype:
        """One legal genotype, uniform over all of them."""

    def sample_path(self, rng: np.random.Generator, cells: int, *, per_cell: bool) -> SupernetPath:
        """Draw a path for one training step: one genotype for all cells, or an independent one per cell.

        A space may restrict this to connected cells (NAS-Bench-201 redraws a node while all its edges are `none`).

        Returns:
            One genotype, or a list of one per cell.
        """
        return [self.sample(rng) for _ in range(cells)] if per_cell else self.sample(rng)

    @abstractmethod
    def mutate(self, genotype: Genotype, rng: np.random.Generator, probability: float, genes: range | None) -> Genotype:
        """A legal genotype in which every gene (or every gene in `genes`) changed with `probability`."""

    @abstractmethod
    def crossover(self, first: Genotype, second: Genotype, rng: np.random.Generator) -> Genotype:
        """A legal genotype that takes each independent decision from either parent with probability 1/2."""

    def neighbours(self, genotype: Genotype) -> Iterator[Genotype]:
        """Every legal genotype that differs from `genotype` by one decision, each once.

        Raises:
            ConfigError: the space does not say which these are.
        """
        del genotype
        raise ConfigError(
            f"space {self.name} does not list the neighbours of a genotype; use --strategy evolution or random"
        )

    @property
    def gene_options(self) -> tuple[int, ...]:
        """How many values, from 0, each gene may be drawn from where a repair follows.

        Raises:
            ConfigError: the space's genes are not varied so.
        """
        raise ConfigError(f"genes of {self.name} are not drawn one by one; use the space's own variation")

    def repaired(self, genes: Sequence[int], rng: np.random.Generator) -> Genotype:
        """Make genes legal that were exchanged or drawn one by one; by default they are.

        Returns:
            A legal genotype; of legal genes, they themselves.

        Raises:
            GenotypeError: they are not, and the space knows no repair.
        """
        del rng
        genotype = Genotype(self.name, tuple(genes))
        self.validate(genotype)
        return genotype

    def mutate_near(
        self, genotype: Genotype, rng: np.random.Generator, probability: float, step: Callable[[int, int], int]
    ) -> Genotype:
        """Every gene that is a number changes with `probability`: `step`(value, how many there are) → value.

        Raises:
            ConfigError: genes of the space are kinds, not numbers with an order.
        """
        del genotype, rng, probability, step
        raise ConfigError(
            f"genes of {self.name} are kinds of operations, which have no order for a polynomial mutation; use the "
            "space's own mutation"
        )

    def sample_genes(self, rng: np.random.Generator) -> Genotype:
        """One legal genotype with every decision uniform; where decisions are independent, as `sample`."""
        return self.sample(rng)

    def all(self) -> Iterator[Genotype]:
        """Every legal genotype, once; raises ConfigError where there are too many to enumerate."""
        raise ConfigError(
            f"space {self.name} has {self.size:.3g} genotypes, too many to list: use --strategy evolution or random"
        )

    @abstractmethod
    def parse(self, text: str) -> Genotype:
        """A legal genotype from the space's published text form, or from comma-separated genes."""

    @abstractmethod
    def format(self, genotype: Genotype) -> str:
        """The space's published text form; `parse(format(g)) == g`."""

    def key(self, genotype: Genotype) -> str:
        """Equal for genotypes that compute the same function, so that they are scored once."""
        return str(genotype)

    @abstractmethod
    def encode(self, genotype: Genotype) -> np.ndarray:
        """A float vector of fixed length for surrogate models: one-hot per gene."""

    def extremes(self) -> tuple[Genotype, Genotype] | None:
        """The two networks of which one is contained in, and the other contains, all others.

        Elastic spaces have them; the sandwich rule trains both in every step.

        Returns:
            The smallest and the largest; None in a space without such.
        """
        return None

    def restrict(self, genotype: Genotype, elastic: Collection[str]) -> Genotype:
        """`genotype` with its dimensions not in `elastic` at their largest, for progressive shrinking.

        Args:
            genotype: A legal genotype.
            elastic: Some of `kernel`, `depth` and `expansion`. An input resolution is elastic always.

        Raises:
            ConfigError: the space has no elastic dimensions.
        """
        del genotype, elastic
        raise ConfigError(f"space {self.name} has no elastic dimensions to shrink; leave supernet.shrinking empty")

    def fair_paths(self, rng: np.random.Generator, cells: int) -> list[list[Genotype]]:
        """Paths, one genotype per cell each, that together hold every operation once on every (cell, edge).

        The strict fairness of FairNAS (arXiv 1907.01845, §3.2): as many paths as there are operations.

        Raises:
            ConfigError: the space's genes are no independent choices among the same operations.
        """
        del rng, cells
        raise ConfigError(
            f"supernet.path=fair needs a space with the same free choice of operations on every edge, which "
            f"{self.name} is not; use shared or per-cell"
        )

    @abstractmethod
    def graphs(self, genotype: Genotype) -> list[CellGraph]:
        """The cell(s) of a genotype, to be drawn."""

    # --- networks ------------------------------------------------------------------------------------------------

    @abstractmethod
    def check(self, shape: Shape) -> None:
        """Raise ConfigError, saying what to change, where no network of this shape can be built."""

    @abstractmethod
    def cost(
        self,
        genotype: Genotype,
        shape: Shape,
        *,
        classifier: ClassifierCount = "in*out",
        auxiliary: bool = False,
    ) -> Cost:
        """Exact size of `network(genotype, shape)`, computed without building or running it.

        MACs count convolutions and the classifier (in·out, or `profiler`: (2·in − 1)·out as the DARTS papers did).
        """

    @abstractmethod
    def supernet(self, shape: Shape) -> Supernet:
        """A freshly initialised supernet. Initialisation draws from torch's global generator."""

    @abstractmethod
    def network(self, genotype: Genotype, shape: Shape, options: NetworkOptions = NetworkOptions()) -> FeatureNetwork:
        """A freshly initialised standalone network: (N, C, H, W) → logits (N, K), or feature maps."""

    @property
    def relaxation(self) -> Relaxation:
        """What its cells look like to a gradient search.

        Raises:
            ConfigError: edges of its networks are no choice among operations whose outputs could be mixed.
        """
        raise self._unrelaxed()

    def relaxed(self, shape: Shape, partial: int = 1) -> RelaxedSupernet:
        """A freshly initialised relaxed supernet, whose operations see the first C/`partial` channels.

        Raises:
            ConfigError: the space cannot be relaxed, or the channels cannot be parted so.
        """
        del shape, partial
        raise self._unrelaxed()

    def _unrelaxed(self) -> ConfigError:
        return ConfigError(
            f"space {self.name} cannot be relaxed: a gradient search needs cells whose edges choose among operations, "
            "as in nasbench201 and darts; take one of those, or search.searcher=one-shot"
        )

    @abstractmethod
    def angle_terms(
        self, supernet: Supernet, genotype: Genotype, *, bn_scale: Literal["once", "twice"] = "once"
    ) -> list[AngleTerm]:
        """The architecture vector of `genotype` as terms; empty where no route is alive (the angle is then 0).

        `bn_scale="twice"` repeats the batch-norm scale of dilated convolutions, as the public code does.
        """


register = SPACES.register
"""Class decorator: make a space available by its `name` (`core.registry`)."""

_BUILT: dict[type[Space], Space] = {}


def registered() -> list[str]:
    """Names of all spaces, sorted."""
    return SPACES.names()


def get(name: str) -> Space:
    """Look up the space called `name`.

    Returns:
        The space, the same object at every call.

    Raises:
        ConfigError: there is none, with the nearest name and all others.
    """
    cls = SPACES.load(name)
    if cls not in _BUILT:
        _BUILT[cls] = cls()
    return _BUILT[cls]


def inherit(supernet: Supernet, network: nn.Module, genotype: Genotype) -> None:
    """Copy the weights and buffers of one path of `supernet` into a standalone network built `like_supernet`.

    Raises:
        GenotypeError: the network has a weight or buffer that the path has not.
    """
    values = supernet.extract(genotype)
    own = network.state_dict()
    missing = own.keys() - values.keys()
    if missing:
        raise GenotypeError(f"network and supernet path differ: {sorted(missing)[:3]} have no counterpart")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(values[name])
