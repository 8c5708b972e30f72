"""A standalone network in the place of a supernet.

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from lowland.core.genotype import Genotype
from lowland.spaces.space import Supernet, SupernetPath
from lowland.spaces.values import Shape


class Single(Supernet):
    """A "supernet" that holds one genotype only: a standalone network, for instance after fine-tuning.

    Names are those of the standalone network.
    """

    def __init__(self, network: nn.Module, genotype: Genotype, shape: Shape) -> None:
        super().__init__()
        self.network = network
        self.genotype = genotype
        self.shape = shape
        self.num_cells = 1

    def forward(self, x_NCHW: Tensor, path: SupernetPath) -> Tensor:
        """Logits (N, K); ValueError where `path` is another genotype."""
        self._require(path)
        logits_NK: Tensor = self.network(x_NCHW)
        return logits_NK

    def inherited(self, genotype: Genotype) -> Mapping[str, str]:
        """Every name of the standalone network, under `network.`."""
        self._require(genotype)
        return {name: f"network.{name}" for name in self.network.state_dict()}

    def _require(self, path: SupernetPath) -> None:
        if path != self.genotype:
            raise ValueError(f"a network of {self.genotype} cannot run {path}")
