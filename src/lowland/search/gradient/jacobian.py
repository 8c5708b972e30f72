"""How strongly a network's outputs follow its input: the norm of their Jacobian, estimated by random projection.

Tensor names: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def squared_jacobian(logits: Callable[[Tensor], Tensor], x_NCHW: Tensor, seed: int) -> Tensor:
    """Mean over images of ‖∂z/∂x‖²_F, estimated with one random direction v for each image.

    K·‖∂(v·z)/∂x‖² with v uniform on the unit sphere of ℝᴷ is an unbiased estimate (Hoffman et al., Robust Learning with
    Jacobian Regularization, 2019, Eq. 12). Gradients flow through it to all that `logits` depends on.

    Args:
        logits: Images (N, C, H, W) → logits (N, K), each image on its own.
        x_NCHW: The images.
        seed: Of the directions.

    Returns:
        The estimate, a scalar.
    """
    with torch.enable_grad():
        x_NCHW = x_NCHW.detach().float().requires_grad_(True)
        z_NK = logits(x_NCHW)
        generator = torch.Generator().manual_seed(seed % 2**63)
        v_NK = torch.randn(z_NK.shape, generator=generator).to(z_NK.device)
        v_NK = v_NK / v_NK.norm(dim=1, keepdim=True)
        (slope_NCHW,) = torch.autograd.grad((v_NK * z_NK).sum(), x_NCHW, create_graph=True)
    return z_NK.shape[1] * (slope_NCHW**2).sum() / len(x_NCHW)
