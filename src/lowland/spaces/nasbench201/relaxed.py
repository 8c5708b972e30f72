"""The relaxed supernet of NAS-Bench-201: one set of weights for all cells, as in the code of Dong and Yang (2020)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from lowland.spaces.nasbench201.genotype import EDGES, NAME, OPERATIONS, OUTPUT
from lowland.spaces.nasbench201.networks import NasBench201Supernet, SearchCell
from lowland.spaces.relaxed import CellMixture, Mixture, Relaxation, RelaxedSupernet, edge_sum, require_partial
from lowland.spaces.values import Shape

RELAXATION = Relaxation(
    kinds=("cell",),
    operations=OPERATIONS,
    nodes=tuple(
        tuple(edge for edge, (target, _) in enumerate(EDGES) if target == node) for node in range(1, OUTPUT + 1)
    ),
    kept=None,
    fewest=0,
    convolutions=tuple(place for place, name in enumerate(OPERATIONS) if "conv" in name),
)


class RelaxedNasBench201(NasBench201Supernet, RelaxedSupernet):
    """All operations on every edge at once, weighted; with `partial=1` also a supernet of paths."""

    def __init__(self, shape: Shape, partial: int = 1) -> None:
        require_partial(NAME, shape.channels, partial)
        super().__init__(shape, lambda width: SearchCell(width // partial))
        self.partial = partial

    def mixed(self, x_NCHW: Tensor, mixture: Mixture) -> Tensor:
        """Logits (N, K) of the mixture."""
        (cell,) = mixture.cells()
        x_NCHW = self.stem(x_NCHW)
        for index, module in enumerate(self.cells):
            if index and index % self.shape.cells == 0:
                x_NCHW = self.reductions[index // self.shape.cells - 1](x_NCHW)
            x_NCHW = self._cell(cast(SearchCell, module), x_NCHW, cell)
        return self.head(x_NCHW)

    def _cell(self, module: SearchCell, x_NCHW: Tensor, mixture: CellMixture) -> Tensor:
        nodes: list[Tensor | None] = [x_NCHW]
        for edges in RELAXATION.nodes:
            inputs = [(edge, nodes[EDGES[edge][1]]) for edge in edges]
            there = [
                (edge, cast(nn.ModuleDict, module.edges[edge]), source, False)
                for edge, source in inputs
                if source is not None
            ]
            nodes.append(edge_sum(self, there, mixture, OPERATIONS))  # type: ignore[arg-type]  # a ModuleDict maps names
        return torch.zeros_like(x_NCHW) if nodes[-1] is None else nodes[-1]
