"""The Hessian of a candidate's loss by its weights: products with vectors, quadratic forms, top eigenvectors.

The loss is the mean cross-entropy of images of the search split, with batch norm in evaluation mode on calibrated
statistics, so that the Hessian is a sum over images. Products come from double backward (Pearlmutter's trick) in the
weights' own precision, fp32 or better, never autocast. Weights enter as detached aliases: the network's own parameters,
their gradients and flags are not touched.

Array names: P perturbed scalars, K vectors, G groups of images, J eigenvectors, N batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from lowland.measures.per_image import Array, first_images
from lowland.measures.perturbation import noise
from lowland.measures.subnet import Subnet

CHUNK = 32
"""Images whose graph of second derivatives is in memory at a time."""

LANCZOS_STEPS = 60
LANCZOS_TOLERANCE = 1e-4
"""Lanczos stops at so many products, or where all residuals ‖Hv − λv‖ are below this share of the largest |λ|."""


class LossHessian:
    """Hessian H (P, P) of a candidate's mean loss on its first search images by some of its parameters.

    Attributes:
        names: Parameter names; vectors (P) are their flattened values, one after another.
        size: P.
        images: Number of images.
    """

    def __init__(self, subnet: Subnet, parameters: Mapping[str, nn.Parameter], images: int) -> None:
        """Set up; nothing is computed yet.

        Args:
            subnet: A calibrated candidate; the Hessian is valid within its block.
            parameters: The parameters to differentiate by, of the candidate's path.
            images: How many images of the search split are looked at, or all where there are fewer.
        """
        self._subnet = subnet
        self._parameters = dict(parameters)
        self._x_NCHW, self._labels_N = first_images(subnet.context.scored, images)
        self.names = list(parameters)
        self.size = sum(parameter.numel() for parameter in parameters.values())
        self.images = len(self._x_NCHW)

    def product(self, v_P: Tensor) -> Tensor:
        """H v."""
        total_P = torch.zeros_like(v_P)
        for x_NCHW, labels_N in _chunks(self._x_NCHW, self._labels_N, CHUNK):
            total_P += self._products(x_NCHW, labels_N, v_P[None])[0] * (len(labels_N) / self.images)
        return total_P

    def quadratic_forms(self, v_KP: Tensor, groups: int) -> tuple[Array, Array]:
        """v_kᵀ H_g v_k with H_g the Hessian of the mean loss of each group of consecutive images.

        Returns:
            The forms (G, K) in float64, and the number of images in each group (G); there are at most `groups`.

        Raises:
            ValueError: a form is not finite.
        """
        forms, sizes = [], []
        for x_NCHW, labels_N in _chunks(self._x_NCHW, self._labels_N, -(-self.images // groups)):
            form_K = torch.zeros(len(v_KP), dtype=torch.float64)
            for x, labels in _chunks(x_NCHW, labels_N, CHUNK):
                products_KP = self._products(x, labels, v_KP)
                # On the CPU, which always has float64.
                form_K += (products_KP.cpu().double() * v_KP.cpu().double()).sum(1) * (len(labels) / len(labels_N))
            forms.append(form_K.numpy())
            sizes.append(len(labels_N))
        forms_GK: Array = np.array(forms)
        if not np.isfinite(forms_GK).all():
            raise ValueError("curvature of the loss is not finite")
        return forms_GK, np.array(sizes, dtype=np.float64)

    def vector(self, *keys: object) -> Tensor:
        """A standard-normal vector (P), a function of run seed, keys and parameter names: alike for all candidates."""
        parts = [noise(name, p, self._subnet.context.seed, *keys).to(p.dtype) for name, p in self._parameters.items()]
        return self._flat(parts)

    def named(self, v_P: Tensor) -> dict[str, Tensor]:
        """A vector as tensors with the shapes of the parameters, by name."""
        parts = v_P.split_with_sizes([parameter.numel() for parameter in self._parameters.values()])
        return {
            name: part.view(parameter.shape)
            for part, (name, parameter) in zip(parts, self._parameters.items(), strict=True)
        }

    def gradient(self) -> Tensor:
        """∇L (P)."""
        total_P = self._flat([torch.zeros_like(parameter) for parameter in self._parameters.values()])
        for x_NCHW, labels_N in _chunks(self._x_NCHW, self._labels_N, CHUNK):
            loss, weights = self._loss(x_NCHW, labels_N)
            total_P += self._flat(_gradients(loss, weights)) * (len(labels_N) / self.images)
        return total_P

    def _products(self, x_NCHW: Tensor, labels_N: Tensor, v_KP: Tensor) -> Tensor:
        """H v for every v (K, P), with H of the mean loss of these images only."""
        loss, weights = self._loss(x_NCHW, labels_N)
        slopes = _gradients(loss, weights, create_graph=True)
        found = []
        with torch.enable_grad():
            for v_P in v_KP:
                along = [(slope * v).sum() for slope, v in zip(slopes, self.named(v_P).values(), strict=True)]
                directional = torch.stack(along).sum() if along else loss.new_zeros(())
                found.append(self._flat(_gradients(directional, weights, retain_graph=True)))
        return torch.stack(found)

    def _loss(self, x_NCHW: Tensor, labels_N: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The mean loss of these images, and the leaves that stand for the parameters in its graph."""
        subnet = self._subnet
        leaves = {name: parameter.detach().requires_grad_() for name, parameter in self._parameters.items()}
        # The caller may have switched gradients off, or autocast on.
        with torch.enable_grad(), torch.autocast(subnet.context.compute.device.type, enabled=False):
            logits_NK = functional_call(subnet.supernet, leaves, (x_NCHW, subnet.genotype))
            return cross_entropy(logits_NK, labels_N), list(leaves.values())

    def _flat(self, parts: list[Tensor]) -> Tensor:
        if not parts:
            return self._x_NCHW.new_zeros(0)
        # By index, so that memory formats may differ.
        return torch.cat([part.detach().flatten() for part in parts])


def _chunks(x_NCHW: Tensor, labels_N: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    for start in range(0, len(labels_N), size):
        yield x_NCHW[start : start + size], labels_N[start : start + size]


def _gradients(
    output: Tensor, of: list[Tensor], *, create_graph: bool = False, retain_graph: bool = False
) -> list[Tensor]:
    """∂output/∂w of a scalar for each w; zeros where it does not depend on w."""
    if not of or not output.requires_grad:
        return [torch.zeros_like(weight) for weight in of]
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Eigenpairs:
    """Largest eigenvalues of a symmetric operator, in falling order, and their eigenvectors.

    Attributes:
        values_J: Ritz values λ, float64.
        vectors_JP: Orthonormal Ritz vectors v.
        residuals_J: ‖Hv − λv‖, which bounds the distance of λ to an eigenvalue; float64.
        products: Products with the operator that it took.
    """

    values_J: Array
    vectors_JP: Tensor
    residuals_J: Array
    products: int


def top_eigenpairs(
    product: Callable[[Tensor], Tensor],
    start_P: Tensor,
    count: int,
    *,
    tolerance: float = LANCZOS_TOLERANCE,
    steps: int = LANCZOS_STEPS,
) -> Eigenpairs:
    """The `count` algebraically largest eigenvalues of a symmetric operator, by Lanczos' method.

    Every new basis vector is orthogonalised twice against all others, so that no eigenvalue appears as a ghost of
    another. Of an eigenvalue with several eigenvectors one is found. Memory: one vector (P) per step.

    Args:
        product: v (P) → H v (P).
        start_P: Where to start, not orthogonal to the eigenvectors sought; any length but 0.
        count: How many J; fewer are found where the operator has fewer dimensions, or does not lead from `start_P` to
            more of them.
        tolerance: Stop where all J residuals are at most this share of the largest |λ| in the basis.
        steps: Most products; at least `count` + 1.

    Returns:
        The pairs found, at most J, with their residuals.

    Raises:
        ValueError: a product is not finite.
    """
    size = len(start_P)
    count, steps = min(count, size), min(max(steps, count + 1), size)
    if count == 0:
        return Eigenpairs(
            values_J=np.zeros(0), vectors_JP=start_P.new_zeros(0, size), residuals_J=np.zeros(0), products=0
        )
    basis_MP = start_P.new_empty(steps, size)
    basis_MP[0] = start_P / start_P.norm()
    tridiagonal_MM = np.zeros((steps, steps))
    for last in range(steps):
        w_P = product(basis_MP[last])
        tridiagonal_MM[last, last] = float(basis_MP[last] @ w_P)
        if not np.isfinite(tridiagonal_MM[last, last]):
            raise ValueError("curvature of the loss is not finite")
        found_MP = basis_MP[: last + 1]
        for _ in range(2):
            w_P = w_P - found_MP.T @ (found_MP @ w_P)
        beside = float(w_P.norm())
        values_M, coordinates_MM = np.linalg.eigh(tridiagonal_MM[: last + 1, : last + 1])
        top = np.argsort(values_M)[::-1][:count]
        residuals_J: Array = beside * np.abs(coordinates_MM[-1, top])
        largest = float(np.abs(values_M).max())
        converged = len(top) == count and bool((residuals_J <= tolerance * largest).all())
        # The basis is closed where the operator does not lead out of it: then nothing is left to look at.
        closed = beside <= torch.finfo(w_P.dtype).eps * largest
        if converged or closed or last + 1 == steps:
            break
        basis_MP[last + 1] = w_P / beside
        tridiagonal_MM[last, last + 1] = tridiagonal_MM[last + 1, last] = beside
    vectors_JP = torch.from_numpy(coordinates_MM[:, top].T.copy()).to(found_MP) @ found_MP
    return Eigenpairs(values_J=values_M[top], vectors_JP=vectors_JP, residuals_J=residuals_J, products=last + 1)
