"""The relaxed supernet of the DARTS space: weights for the normal and for the reduction cell."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lowland.spaces.darts.cells import DartsSupernet, SearchCell, pooled
from lowland.spaces.darts.genotype import EDGES, KINDS, NODE_EDGES, OPERATIONS, SPACE
from lowland.spaces.darts.layout import CellLayout
from lowland.spaces.relaxed import CellMixture, Mixture, Relaxation, RelaxedSupernet, edge_sum, require_partial
from lowland.spaces.values import Shape

RELAXATION = Relaxation(
    kinds=KINDS,
    operations=OPERATIONS,
    nodes=tuple(map(tuple, NODE_EDGES)),
    kept=2,
    fewest=2,
    convolutions=tuple(place for place, name in enumerate(OPERATIONS) if "conv" in name),
)


class RelaxedDarts(DartsSupernet, RelaxedSupernet):
    """All operations on every edge at once, weighted; with `partial=1` also a supernet of paths."""

    def __init__(self, shape: Shape, partial: int = 1) -> None:
        require_partial(SPACE, shape.channels, partial)

        def cell(layout: CellLayout) -> SearchCell:
            return SearchCell(layout, layout.channels // partial, affine=False)

        super().__init__(shape, cell)
        self.partial = partial

    def mixed(self, x_NCHW: Tensor, mixture: Mixture) -> Tensor:
        """Logits (N, K) of the mixture."""
        cells = mixture.cells()
        s0, s1 = self.stem(x_NCHW)
        for module, reduction in zip(self.cells, self.reductions, strict=True):
            s0, s1 = s1, self._cell(cast(SearchCell, module), s0, s1, cells[reduction], reduction)
        return cast(Tensor, self.classifier(pooled(s1)))

    def _cell(self, module: SearchCell, s0: Tensor, s1: Tensor, mixture: CellMixture, reduction: bool) -> Tensor:
        states: list[Tensor | None] = [module.preprocess0(s0), module.preprocess1(s1)]
        for edges in RELAXATION.nodes:
            inputs = [(edge, EDGES[edge][1]) for edge in edges]
            there = [
                (edge, cast(nn.ModuleDict, module.edges[edge]), value, reduction and source < 2)
                for edge, source in inputs
                if (value := states[source]) is not None
            ]
            states.append(edge_sum(self, there, mixture, OPERATIONS))  # type: ignore[arg-type]  # a ModuleDict maps names
        return _concatenated(states, halves=reduction)


def _concatenated(states: list[Tensor | None], *, halves: bool) -> Tensor:
    """The inner nodes, side by side; those that nothing enters are zero."""
    first = cast(Tensor, states[0])
    batch, channels, height, width = first.shape
    if halves:
        height, width = -(-height // 2), -(-width // 2)
    zeros = first.new_zeros(batch, channels, height, width)
    return torch.cat([zeros if state is None else state for state in states[2:]], dim=1)
