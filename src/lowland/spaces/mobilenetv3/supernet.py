"""The elastic supernet: the largest network, of which every other is a part (Once-for-All, arXiv 1908.09791).

A stage of depth d runs its first d blocks; kernels and widths are those of `mobilenetv3_elastic`.

Tensor names: N batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lowland.core.genotype import Genotype
from lowland.spaces.features import resized
from lowland.spaces.mobilenetv3.design import Design
from lowland.spaces.mobilenetv3.elastic import ElasticResidual
from lowland.spaces.mobilenetv3.genotype import Choice, choices
from lowland.spaces.mobilenetv3.networks import (
    BlockPlan,
    InvertedResidual,
    MobileNetV3Network,
    block_plans,
    first_plan,
    make_head,
    make_stem,
    pixels,
)
from lowland.spaces.single import Single
from lowland.spaces.space import Supernet, SupernetPath
from lowland.spaces.values import NetworkOptions, Part, Shape


class ElasticCell(nn.Module):
    """A searched block of the supernet. Its parameters have `.edges.` in their names."""

    def __init__(self, plan: BlockPlan, kernels: Sequence[int]) -> None:
        super().__init__()
        self.edges = ElasticResidual(plan, kernels)

    def forward(self, x_NCHW: Tensor, choice: Choice) -> Tensor:
        """See `ElasticResidual`."""
        y_NCHW: Tensor = self.edges(x_NCHW, choice)
        return y_NCHW


class MobileNetV3Supernet(Supernet):
    """All networks of the space in the largest; names `stem`, `first`, `cells.<i>.edges.…`, `head`.

    Attributes:
        design: The space's description.
        cells: The blocks of the largest network, in order.
        channels_sorted: Buffer, above 0 once `sort_channels` has been called, else 0.
    """

    channels_sorted: Tensor

    def __init__(self, design: Design, shape: Shape) -> None:
        super().__init__()
        self.design, self.shape = design, shape
        largest = Choice(design.kernels[-1], design.expansions[-1])
        self.num_cells = len(design.stages) * design.most
        self.stem = make_stem(design, shape)
        self.first = InvertedResidual(first_plan(design, shape))
        self.cells = nn.ModuleList(
            ElasticCell(plan, design.kernels)
            for plan in block_plans(design, shape, (largest,) * self.num_cells)
            if plan is not None
        )
        self.head = make_head(design, shape)
        # A float, so that averages over steps or ranks keep it above zero.
        self.register_buffer("channels_sorted", torch.zeros(()))
        # Names never change: measures ask for them per candidate.
        fixed = [*self._named("stem"), *self._named("first"), *self._named("head")]
        self._fixed = {name: name for name in fixed}
        self._blocks = [[name for name in cell.state_dict() if ".matrix_" not in name] for cell in self.cells]

    def _named(self, part: str) -> list[str]:
        return [f"{part}.{name}" for name in self.get_submodule(part).state_dict()]

    def forward(self, x_NCHW: Tensor, path: SupernetPath) -> Tensor:
        """Run the network named by `path`: one genotype, or one per block, of which the first decides the resolution.

        A block of its own genotype runs where that genotype's stage is deep enough to have it.

        Returns:
            Logits (N, K).

        Raises:
            GenotypeError: a genotype is illegal.
            ValueError: a path of several genotypes has not one per block.
        """
        found = self._chosen(path)
        x_NCHW = resized(x_NCHW, pixels(self.design, path if isinstance(path, Genotype) else path[0], self.shape))
        x_NCHW = self.first(self.stem(x_NCHW))
        for cell, choice in zip(self.cells, found, strict=True):
            if choice is not None:
                x_NCHW = cell(x_NCHW, choice)
        logits_NK: Tensor = self.head(x_NCHW)
        return logits_NK

    def inherited(self, genotype: Genotype) -> Mapping[str, str]:
        """Name the tensors of which the standalone network's are a part, or from which they are computed.

        The values themselves are in `extract`; the matrices that transform kernels are in `path_parameters`.

        Returns:
            Standalone key → key of the supernet's tensor from which its value comes: a part, or a transformed kernel.
        """
        names = dict(self._fixed)
        for own, (index, _) in enumerate(self._active(genotype)):
            names |= {f"cells.{own}.{name}": f"cells.{index}.{name}" for name in self._blocks[index]}
        return names

    def extract(self, genotype: Genotype) -> Mapping[str, Tensor]:
        """Standalone key → value: first channels, transformed kernels, and the fixed parts as they are."""
        state = self.state_dict(keep_vars=True)
        values = {name: state[name] for name in self._fixed}
        for own, (index, choice) in enumerate(self._active(genotype)):
            parts = self._block(index).tensors(choice)
            values |= {f"cells.{own}.edges.{name}": value for name, value in parts.items()}
        return values

    def at(self, genotype: Genotype) -> Single:
        """The extracted network with copies of its weights, on this device and in this mode."""
        with torch.device("meta"):
            network = MobileNetV3Network(self.design, genotype, self.shape, NetworkOptions(like_supernet=True))
        values = {name: value.detach().clone() for name, value in self.extract(genotype).items()}
        network.load_state_dict(values, assign=True)
        return Single(network, genotype, self.shape).train(self.training)

    def path_parameters(self, path: SupernetPath) -> dict[str, nn.Parameter]:
        """Supernet parameters of which a part lies on `path`, kernel matrices among them."""
        wanted = set(super().path_parameters(path))
        for index, choice in enumerate(self._chosen(path)):
            if choice is not None:
                wanted |= {f"cells.{index}.edges.{name}" for name in self._block(index).matrices(choice)}
        return {name: value for name, value in self.named_parameters() if name in wanted}

    def searched_weights(self, genotype: Genotype) -> Iterator[tuple[str, Part]]:
        """The parts of searched convolution weights that `genotype` is made from, by supernet name."""
        for index, choice in self._active(genotype):
            for name, part in self._block(index).weights(choice).items():
                yield f"cells.{index}.edges.{name}", part

    def sort_channels(self) -> None:
        """Sort the channels of every block by importance, so that narrow blocks get the most important ones.

        To be called before expansion becomes elastic (Once-for-All, Section 3.2). The networks of the largest expansion
        compute what they did before, up to the order of sums; momentum and averages of the weights lose their meaning.
        """
        for index in range(self.num_cells):
            self._block(index).sort_channels()
        self.channels_sorted.fill_(1)

    def _chosen(self, path: SupernetPath) -> Sequence[Choice | None]:
        """The choice for every block of the largest network, None for those that do not run."""
        if isinstance(path, Genotype):
            return choices(self.design, path)
        if len(path) != self.num_cells:
            raise ValueError(f"a path is 1 genotype or {self.num_cells} (one per block), got {len(path)}")
        return [choices(self.design, genotype)[index] for index, genotype in enumerate(path)]

    def _block(self, index: int) -> ElasticResidual:
        return cast(ElasticCell, self.cells[index]).edges

    def _active(self, genotype: Genotype) -> list[tuple[int, Choice]]:
        """(index in the largest network, choice) of every block of `genotype`, in order."""
        found = enumerate(choices(self.design, genotype))
        return [(index, choice) for index, choice in found if choice is not None]
