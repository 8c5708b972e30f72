"""The continuous relaxation of a cell-based space: every edge is a weighted sum of all its operations (DARTS, Eq. 2).

Tensor names: N batch, C channels, H height, W width, K kinds of cells, E edges, O operations (0 is `none`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lowland.core.errors import ConfigError
from lowland.spaces.space import Supernet


@dataclass(frozen=True, kw_only=True, slots=True)
class Relaxation:
    """What a space's cells look like to a gradient search.

    The genes of a genotype are the operations of all edges, one kind of cell after another.

    Attributes:
        kinds: Kinds of cells, each with weights of its own.
        operations: What an edge chooses among; the first is `none`.
        nodes: The edges that enter each node of a cell.
        kept: How many edges of a node a genotype keeps; None: all of them, where `none` is a choice like the others.
        fewest: How many edges of a node a genotype must keep at least, where `kept` is a number.
        convolutions: Places of the operations with weights to be learnt, one of the two groups of DropNAS.
    """

    kinds: tuple[str, ...]
    operations: tuple[str, ...]
    nodes: tuple[tuple[int, ...], ...]
    kept: int | None
    fewest: int
    convolutions: tuple[int, ...]

    @property
    def edges(self) -> int:
        """Edges of a cell."""
        return sum(map(len, self.nodes))

    @property
    def most(self) -> int:
        """Operations that a genotype has in a cell, at most."""
        return self.edges if self.kept is None else self.kept * len(self.nodes)

    @property
    def skip(self) -> int:
        """The place of the skip connection."""
        return self.operations.index("skip_connect")

    @property
    def size(self) -> tuple[int, int, int]:
        """(K, E, O)."""
        return len(self.kinds), self.edges, len(self.operations)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Weights of a relaxed supernet.

    Attributes:
        operations_KEO: Of every operation on every edge. One that is exactly 0 is not computed, and `none` never is.
        edges_KE: Of every edge in the sum of its node; None: all 1.
    """

    operations_KEO: Tensor
    edges_KE: Tensor | None = None

    def detached(self) -> Mixture:
        """The same weights, through which no gradient flows."""
        edges_KE = None if self.edges_KE is None else self.edges_KE.detach()
        return Mixture(self.operations_KEO.detach(), edges_KE)

    def cells(self) -> list[CellMixture]:
        """The weights of each kind of cell, and which of them are not 0."""
        live = (self.operations_KEO.detach() != 0).tolist()
        edges = [None] * len(live) if self.edges_KE is None else list(self.edges_KE)
        return [
            CellMixture(operations_EO, edges_E, live_EO)
            for operations_EO, edges_E, live_EO in zip(self.operations_KEO, edges, live, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class CellMixture:
    """The weights of one kind of cell (`Mixture`), and which operations have one that is not 0."""

    operations_EO: Tensor
    edges_E: Tensor | None
    live_EO: Sequence[Sequence[bool]]


class RelaxedSupernet(Supernet):
    """A supernet that can also run mixtures; batch norms of searched operations have no scale and shift.

    A learnt scale would undo the weight of its operation. The supernets of path sampling keep theirs.

    Attributes:
        partial: K of partial channel connections (PC-DARTS): operations see the first C/K channels; 1: all.
        skip_dropout: Probability with which entries behind an identity are dropped in training (P-DARTS); 0: none.
    """

    partial: int = 1
    skip_dropout: float = 0.0

    @abstractmethod
    def mixed(self, x_NCHW: Tensor, mixture: Mixture) -> Tensor:
        """Logits (N, K_classes) of the mixture; with one weight 1 on every edge, those of that path."""


def edge_sum(
    supernet: RelaxedSupernet,
    edges: Sequence[tuple[int, Mapping[str, nn.Module], Tensor, bool]],
    mixture: CellMixture,
    operations: Sequence[str],
) -> Tensor | None:
    """The value of a node: Σ_e b_e·Σ_o w_eo·o_e(x_e).

    Args:
        supernet: Says which channels the operations see.
        edges: (edge, its operations, its input (N, C, H, W), whether it halves the resolution) for every edge that has
            an input.
        mixture: w and b of the cell.
        operations: Names of the operations in the order of the weights.

    Returns:
        (N, C, H, W); None where nothing enters the node.
    """
    total: Tensor | None = None
    for edge, choices, x_NCHW, halves in edges:
        y_NCHW = _mixed_edge(supernet, choices, x_NCHW, halves, mixture, edge, operations)
        if y_NCHW is None:
            continue
        if mixture.edges_E is not None:
            y_NCHW = mixture.edges_E[edge] * y_NCHW
        total = y_NCHW if total is None else total + y_NCHW
    return total


def _mixed_edge(
    supernet: RelaxedSupernet,
    choices: Mapping[str, nn.Module],
    x_NCHW: Tensor,
    halves: bool,
    mixture: CellMixture,
    edge: int,
    operations: Sequence[str],
) -> Tensor | None:
    """Σ_o w_o·o(x), of the first channels only where connections are partial; None where that is nothing."""
    partial = supernet.partial
    seen_NCHW = x_NCHW if partial == 1 else x_NCHW[:, : x_NCHW.shape[1] // partial]
    total: Tensor | None = None
    for place, name in enumerate(operations[1:], start=1):
        if not mixture.live_EO[edge][place]:
            continue
        y_NCHW = choices[name](seen_NCHW)
        if supernet.skip_dropout and isinstance(choices[name], nn.Identity):
            y_NCHW = functional.dropout(y_NCHW, supernet.skip_dropout, supernet.training)
        y_NCHW = mixture.operations_EO[edge, place] * y_NCHW
        total = y_NCHW if total is None else total + y_NCHW
    if partial == 1:
        return total
    rest_NCHW = x_NCHW[:, seen_NCHW.shape[1] :]
    if halves:
        rest_NCHW = functional.max_pool2d(rest_NCHW, 2, ceil_mode=True)  # odd sizes round up, as convolutions do
    if total is None:
        batch, others, *size = rest_NCHW.shape
        total = rest_NCHW.new_zeros(batch, x_NCHW.shape[1] - others, *size)
    return shuffled(torch.cat([total, rest_NCHW], dim=1), partial)


def shuffled(x_NCHW: Tensor, groups: int) -> Tensor:
    """Channel shuffle (ShuffleNet, arXiv 1707.01083): channel c of group g becomes channel c·groups + g."""
    batch, channels, *size = x_NCHW.shape
    return x_NCHW.view(batch, groups, channels // groups, *size).transpose(1, 2).reshape(batch, channels, *size)


def require_partial(space: str, channels: int, partial: int) -> None:
    """Raise ConfigError unless C channels can be shared among K groups (all wider cells then can, too)."""
    if channels % partial:
        raise ConfigError(
            f"partial channels of {space} need supernet.channels={channels} to be a multiple of partial={partial}; "
            f"set supernet.channels={-(-channels // partial) * partial} or another partial"
        )
