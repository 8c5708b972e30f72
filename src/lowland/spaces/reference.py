"""A reference: a network written by hand, with which a found one is compared."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import nn

from lowland.core.genotype import Genotype
from lowland.spaces.values import Cost, NetworkOptions, Shape


class Reference(ABC):
    """A network to compare a found one with, at any size.

    Attributes:
        name: What people call it.
        family: Its space, or the package it comes from.
        source: Where it is described.
        lacks: Settings of a retraining recipe that it cannot follow, such as `auxiliary_weight`.
    """

    name: str
    family: str
    source: str
    lacks: tuple[str, ...]

    @property
    @abstractmethod
    def text(self) -> str:
        """What it is, exactly: a genotype's text form, or its name."""

    @property
    def learned(self) -> str:
        """Where the weights that it begins with were learned; empty where they are random."""
        return ""

    @property
    def genotype(self) -> Genotype | None:
        """Its genotype; None for a network of no space."""
        return None

    @abstractmethod
    def own_shape(self, found: Shape, space: str) -> Shape:
        """Its size where nothing is fitted, beside a network of size `found` in `space`.

        Raises:
            ConfigError: None of it can be built for such images.
        """

    @abstractmethod
    def fitted(self, shape: Shape, *, parameters: int | None, macs: int | None) -> Shape:
        """`shape` with the largest width within a budget; raises as `width.fitted`."""

    @abstractmethod
    def cost(self, shape: Shape) -> Cost:
        """Parameters and multiply-accumulates of `network(shape)`."""

    @abstractmethod
    def network(self, shape: Shape, options: NetworkOptions = NetworkOptions()) -> nn.Module:
        """A network as training begins with it; initialisation draws from torch's global generator."""
