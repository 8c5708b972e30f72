"""NASWOT: how differently the ReLUs of an untrained network respond to different images.

Tensor names: N images, C channels, H height, W width, A ReLU units of a layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lowland.measures.measure import register
from lowland.measures.shared import TRAINING_IMAGES
from lowland.measures.untrained.untrained import RELUS, Untrained, UntrainedMeasure, run_watched


def code_kernel(network: nn.Module, x_NCHW: Tensor) -> Tensor:
    """K_ij = number of ReLU units that are both on or both off for images i and j (Mellor et al., Section 3).

    With cᵢ ∈ {0, 1}^A the units that are on for image i, K = Σ_layers C Cᵀ + (1 − C)(1 − C)ᵀ: the number of units less
    the Hamming distance of the codes. Every call of a `nn.ReLU` or `nn.ReLU6` module counts; operations that cannot
    influence the output are never run and count nothing (the public code runs and counts them).

    Returns:
        (N, N), float64, on the CPU; zero for a network without such a unit.
    """
    kernel_NN = torch.zeros(len(x_NCHW), len(x_NCHW), dtype=torch.float64)

    def count(y: object) -> None:
        if not isinstance(y, Tensor):
            return
        on_NA = (y.flatten(1) > 0).float()
        off_NA = 1.0 - on_NA
        # Exact: the products are integers far below 2²⁴ in each layer.
        kernel_NN.add_((on_NA @ on_NA.T + off_NA @ off_NA.T).cpu())

    run_watched(network, x_NCHW, count, RELUS)
    return kernel_NN


def log_determinant(kernel_NN: Tensor) -> float:
    """Logarithm of the determinant of a positive semidefinite kernel, every eigenvalue taken as at least 1.

    An eigenvalue below one unit means images that the codes cannot tell apart, whose determinant would be 0 up to
    rounding. So a network that gives all N images the same code has log(N · units), and one without units 0: low, and
    finite.

    Returns:
        log|det K| = Σ log λ, ≥ 0.
    """
    eigenvalues: Tensor = torch.linalg.eigvalsh(kernel_NN)
    return float(eigenvalues.clamp(min=1.0).log().sum())


@register
class Naswot(UntrainedMeasure):
    """log|det K_H| of the Hamming kernel of ReLU codes on one batch, batch norm with the batch's statistics.

    Values grow with the batch, so only scores of the same `measure.untrained_batch` can be compared.
    """

    name = "naswot"
    summary = "log-determinant of the kernel of ReLU codes: how well an untrained network tells images apart"
    source = "NASWOT (Mellor et al., ICML 2021), Section 3"

    needs = TRAINING_IMAGES

    def judge(self, untrained: Untrained) -> float:
        """The log-determinant, 0 or more."""
        x_NCHW, _ = untrained.images()
        return log_determinant(code_kernel(untrained.placed, x_NCHW))
