"""The Hessian of a mean loss by weights, whatever the loss is of: products with vectors, quadratic forms, gradients.

Products come from double backward (Pearlmutter's trick), piece by piece, so that the graph of one piece of the images
is in memory at a time. Nothing of a network is touched: neither gradients nor flags of its parameters.

Array names: P scalars, K vectors, G groups of images, B pieces.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lowland.core.errors import ConfigError, NotFiniteError
from lowland.measures.per_image import Array
from lowland.measures.perturbation import Displacement, noise, perturbed

_ONCE = re.compile(
    r"derivative for .* is not implemented|once_differentiable|double backward|backward twice|differentiate twice", re.I
)
"""What torch says of operations that have one derivative and no second."""

_NOT_TWICE = (
    "the loss of this model cannot be differentiated twice ({}); leave curvature and slices along Hessian eigenvectors "
    "out, or replace that operation"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some images whose mean loss is computed at once.

    Attributes:
        images: How many they are: the weight of their mean loss in the mean over all.
        loss: Gives their mean loss, a scalar, and the leaves of its graph that stand for the parameters, with the
            weights that these hold at the time; without a graph where its argument is False.
    """

    images: int
    loss: Callable[[bool], tuple[Tensor, list[Tensor]]]


class Hessian(ABC):
    """Hessian H (P, P) of a mean loss by some parameters, and the gradient and values of that loss.

    Attributes:
        parameters: What is differentiated by, by name; vectors (P) are their flattened values, one after another.
        names: Their names.
        size: P.
        images: Number of images that the loss is the mean of.
        seed: Seed of random vectors.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], images: int, seed: int) -> None:
        self.parameters = dict(parameters)
        self.names = list(parameters)
        self.size = sum(parameter.numel() for parameter in parameters.values())
        self.images = images
        self.seed = seed
        self._twice = False  # whether a graph was looked at

    @abstractmethod
    def groups(self, count: int) -> Iterator[Sequence[Piece]]:
        """All images in at most `count` groups, in order, each in pieces that fit into memory."""

    def product(self, v_P: Tensor) -> Tensor:
        """H v."""
        total_P = torch.zeros_like(v_P)
        for piece in self.pieces():
            total_P += self._products(piece, v_P[None])[0] * (piece.images / self.images)
        return total_P

    def quadratic_forms(self, v_KP: Tensor, groups: int) -> tuple[Array, Array]:
        """v_kᵀ H_g v_k with H_g the Hessian of the mean loss of each group of consecutive images.

        Returns:
            The forms (G, K) in float64, and the number of images in each group (G); there are at most `groups`.

        Raises:
            NotFiniteError: a form is not finite.
        """
        forms, sizes = [], []
        for group in self.groups(groups):
            size = sum(piece.images for piece in group)
            form_K = torch.zeros(len(v_KP), dtype=torch.float64)
            for piece in group:
                products_KP = self._products(piece, v_KP)
                # On the CPU, which always has float64.
                form_K += (products_KP.cpu().double() * v_KP.cpu().double()).sum(1) * (piece.images / size)
            forms.append(form_K.numpy())
            sizes.append(size)
        forms_GK: Array = np.array(forms)
        if not np.isfinite(forms_GK).all():
            raise NotFiniteError("curvature of the loss is not finite")
        return forms_GK, np.array(sizes, dtype=np.float64)

    def gradient(self) -> Tensor:
        """∇L (P)."""
        total_P = self._flat([torch.zeros_like(parameter) for parameter in self.parameters.values()])
        for piece in self.pieces():
            total_P += self.slope(piece) * (piece.images / self.images)
        return total_P

    def slope(self, piece: Piece) -> Tensor:
        """∇L (P) of the mean loss of one piece."""
        loss, weights = piece.loss(True)
        return self._flat(_gradients(loss, weights))

    def losses(self) -> tuple[Array, Array]:
        """The mean loss of every piece with the weights as they are now, float64 (B), and how many images it is of."""
        found = [(piece.loss(False)[0].detach(), piece.images) for piece in self.pieces()]
        losses_B: Array = torch.stack([loss for loss, _ in found]).cpu().double().numpy()
        return losses_B, np.array([images for _, images in found], dtype=np.float64)

    def vector(self, *keys: object) -> Tensor:
        """A standard-normal vector (P), a function of run seed, keys and parameter names: alike for all candidates."""
        parts = [noise(name, p, self.seed, *keys).to(p.dtype) for name, p in self.parameters.items()]
        return self._flat(parts)

    def signs(self, *keys: object) -> Tensor:
        """A vector of independent ±1 (P): the signs of `vector`."""
        normal_P = self.vector(*keys)
        return torch.ones_like(normal_P).copysign_(normal_P)

    def named(self, v_P: Tensor) -> dict[str, Tensor]:
        """A vector as tensors with the shapes of the parameters, by name."""
        parts = v_P.split_with_sizes([parameter.numel() for parameter in self.parameters.values()])
        return {
            name: part.view(parameter.shape)
            for part, (name, parameter) in zip(parts, self.parameters.items(), strict=True)
        }

    def weights(self) -> Tensor:
        """The weights themselves (P)."""
        return self._flat(list(self.parameters.values()))

    def pieces(self) -> Sequence[Piece]:
        """All images, in order."""
        return [piece for group in self.groups(1) for piece in group]

    def displaced(self, step_P: Tensor) -> AbstractContextManager[None]:
        """A context in which the parameters hold w + `step_P`; afterwards the very tensors they held before."""
        return perturbed(self.parameters, Displacement(direction=self.named(step_P), scale=1.0))

    def _products(self, piece: Piece, v_KP: Tensor) -> Tensor:
        """H v for every v (K, P), with H of the mean loss of these images only."""
        loss, weights = piece.loss(True)
        slopes = _gradients(loss, weights, create_graph=True)
        if not self._twice:
            _require_second_derivative(slopes)
            self._twice = True
        found = []
        with torch.enable_grad():
            for v_P in v_KP:
                along = [(slope * v).sum() for slope, v in zip(slopes, self.named(v_P).values(), strict=True)]
                directional = torch.stack(along).sum() if along else loss.new_zeros(())
                found.append(self._flat(_gradients(directional, weights, retain_graph=True)))
        return torch.stack(found)

    def _flat(self, parts: Sequence[Tensor]) -> Tensor:
        if not parts:
            return torch.zeros(0)
        # By index, so that memory formats may differ.
        return torch.cat([part.detach().flatten() for part in parts])


def _gradients(
    output: Tensor, of: list[Tensor], *, create_graph: bool = False, retain_graph: bool = False
) -> list[Tensor]:
    """∂output/∂w of a scalar for each w; zeros where it does not depend on w."""
    if not of or not output.requires_grad:
        return [torch.zeros_like(weight) for weight in of]
    try:
        return list(
            torch.autograd.grad(
                output,
                of,
                create_graph=create_graph,
                retain_graph=retain_graph or create_graph,
                allow_unused=True,
                materialize_grads=True,
            )
        )
    except (RuntimeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        if not _ONCE.search(reason):
            raise
        raise ConfigError(_NOT_TWICE.format(reason[:200])) from error


def _require_second_derivative(slopes: Sequence[Tensor]) -> None:
    """Look for functions that are marked `once_differentiable` in the graph of the gradient.

    torch refuses to run through one, but where gradients by inputs are asked for it never comes to it: then second
    derivatives would silently lack a term. Its own operations without a second derivative it names itself.

    Raises:
        ConfigError: there is one.
    """
    left, seen = [slope.grad_fn for slope in slopes], set()
    while left:
        node = left.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name().endswith("::Error"):
            raise ConfigError(_NOT_TWICE.format("a function of it is marked once_differentiable"))
        left += [further for further, _ in node.next_functions]
