"""Architecture parameters, how they become weights of a mixture, and how weights become a genotype.

Tensor names: K kinds of cells, E edges, O operations (0 is `none`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lowland.core.seeds import torch_generator
from lowland.spaces.relaxed import Mixture, Relaxation

SPREAD = 1e-3
"""Standard deviation of architecture parameters at the start (public code of DARTS)."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a gradient search learns; no part of the supernet, so that its weight decay and clipping leave it alone.

    Attributes:
        relaxation: The cells it is about.
        operations_KEO: α, a leaf: one number for each operation on each edge.
        live_KEO: Which operations are still a choice.
        edges_KE: β, a leaf: one number for each edge (PC-DARTS); None: edges have none.
    """

    relaxation: Relaxation
    operations_KEO: Tensor
    live_KEO: Tensor
    edges_KE: Tensor | None = None

    @classmethod
    def initial(
        cls,
        relaxation: Relaxation,
        device: torch.device,
        seed: int,
        *,
        none: bool = True,
        edges: bool = False,
        spread: float = SPREAD,
        key: str = "",
    ) -> Architecture:
        """Draw α (and β) from N(0, spread²).

        Args:
            relaxation: The cells.
            device: Where they are to be.
            seed: Run seed.
            none: Whether `none` is a choice.
            edges: Whether edges have parameters of their own.
            spread: Standard deviation; 0: all begin at 0.
            key: Tells draws of one search apart.

        Returns:
            The parameters, leaves that ask for gradients.
        """
        generator = torch_generator(seed, "architecture", key)
        kinds, edge_count, operations = relaxation.size
        alpha_KEO = (spread * torch.randn(kinds, edge_count, operations, generator=generator)).to(device)
        beta_KE = (spread * torch.randn(kinds, edge_count, generator=generator)).to(device) if edges else None
        live_KEO = torch.ones(relaxation.size, dtype=torch.bool, device=device)
        live_KEO[..., 0] = none
        return cls(
            relaxation,
            alpha_KEO.requires_grad_(),
            live_KEO,
            None if beta_KE is None else beta_KE.requires_grad_(),
        )

    def parameters(self) -> list[Tensor]:
        """α, and β where there is one."""
        return [self.operations_KEO] if self.edges_KE is None else [self.operations_KEO, self.edges_KE]


def softmax(architecture: Architecture) -> Tensor:
    """Softmax of α over the live operations of each edge (K, E, O); 0 for the others."""
    return architecture.operations_KEO.masked_fill(~architecture.live_KEO, float("-inf")).softmax(dim=-1)


def sigmoid(architecture: Architecture) -> Tensor:
    """σ(α) of each live operation (K, E, O), no competition among them (FairDARTS, Eq. 4); 0 for the others."""
    return architecture.operations_KEO.sigmoid() * architecture.live_KEO


def edge_softmax(architecture: Architecture) -> Tensor | None:
    """Softmax of β over the edges that enter each node (K, E) (PC-DARTS, Eq. 4); None where there is no β."""
    beta_KE = architecture.edges_KE
    if beta_KE is None:
        return None
    return torch.cat([beta_KE[:, list(edges)].softmax(dim=1) for edges in architecture.relaxation.nodes], dim=1)


def mixture(architecture: Architecture) -> Mixture:
    """The softmax mixture."""
    return Mixture(softmax(architecture), edge_softmax(architecture))


def genes(relaxation: Relaxation, weights_KEO: Tensor, least: float = 0.0) -> tuple[int, ...]:
    """Read the genotype that weights stand for.

    Where every edge is kept (NAS-Bench-201) each takes its heaviest operation, `none` too. Elsewhere the strength of an
    edge is the weight of its heaviest operation other than `none`; of each node the strongest edges are kept, with
    that operation (DARTS, §2.4). Ties go to the first.

    Args:
        relaxation: The cells.
        weights_KEO: Weights of operations, those of edges multiplied in where there are any.
        least: Edges without an operation of at least this weight are `none` (FairDARTS), but for the strongest that
            a node needs: `fewest`, or all where it has no more than are kept.

    Returns:
        The operation of each edge, one kind of cell after another.
    """
    weights_KEO = weights_KEO.detach().float().cpu()
    found: list[int] = []
    for weights_EO in weights_KEO:
        strength_E, best_E = weights_EO[:, 1:].max(dim=1)
        if relaxation.kept is None:
            cell = [_heaviest(weights_O, least) for weights_O in weights_EO]
        else:
            cell = [0] * relaxation.edges
            for edges in relaxation.nodes:
                strongest = sorted(edges, key=lambda edge: (-float(strength_E[edge]), edge))[: relaxation.kept]
                for place, edge in enumerate(strongest):
                    needed = len(edges) if len(edges) == relaxation.kept else relaxation.fewest
                    there = float(strength_E[edge]) >= least or place < needed
                    cell[edge] = int(best_E[edge]) + 1 if there else 0
        found += cell
    return tuple(found)


def _heaviest(weights_O: Tensor, least: float) -> int:
    place = int(weights_O.argmax())
    return place if float(weights_O[place]) >= least else 0


def skips(relaxation: Relaxation, found: Sequence[int]) -> dict[str, int]:
    """Skip connections in each kind of cell: many of them are how DARTS collapses."""
    size = relaxation.edges
    return {
        kind: list(found[place * size : (place + 1) * size]).count(relaxation.skip)
        for place, kind in enumerate(relaxation.kinds)
    }
