"""Measures: how a candidate is judged. Each is found by its name (`lowland.core.registry`).

- accuracy, loss: one-shot quality on the search split with inherited weights.
- flatness: slope and depth of the loss under weight noise, or along the Hessian's top eigenvectors (GeNAS).
- robustness, flatnas: change of the accuracy under relative weight noise, and its sum with the error (FlatNAS).
- perturbed_loss, adaptive_sharpness, filter_noise: the loss under absolute, relative and filter-normalised noise.
- perturbed_accuracy: the accuracy under large relative noise.
- hessian_trace, top_eigenvalue: curvature of the loss, in all directions and in the steepest.
- training_speed: the loss over a few steps of training at a high learning rate.
- angle: how far training turned the weights (RLNAS).
- parameters, macs, naswot, synflow, grad_norm, snip, jacob_cov, zico, ntk, linear_regions, expressivity, progressivity,
  trainability, vkdnw, vkdnw_entropy, meco: of the untrained network (`untrained`).
- latency: time for one image on the machine of the search.
- combined: sums of these, such as `angle+flatness`.
- landscape: flatness of any trained PyTorch model, with the curvature, sharpness and slices of `surface`.

They are served by candidate (one path, calibrated once), calibration (batch-norm statistics), per_image (losses, clean
and under noise), perturbation (seeded weight noise), draws (several of them), hessian (products and eigenvectors) and
direction (noise along these).

Everything here is imported on first use: what only reads names or an archive needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Batches": "measures.measure",
    "Combined": "measures.combined",
    "Context": "measures.measure",
    "Estimate": "measures.subnet",
    "Measure": "measures.measure",
    "Score": "measures.measure",
    "Subnet": "measures.subnet",
    "SubnetMeasure": "measures.subnet",
    "calibrated_subnet": "measures.subnet",
    "get": "measures.combined",
    "register": "measures.measure",
    "registered": "measures.measure",
}

if TYPE_CHECKING:
    from lowland.measures.combined import Combined, get
    from lowland.measures.measure import Batches, Context, Measure, Score, register, registered
    from lowland.measures.subnet import Estimate, Subnet, SubnetMeasure, calibrated_subnet

__all__ = [
    "Batches",
    "Combined",
    "Context",
    "Estimate",
    "Measure",
    "Score",
    "Subnet",
    "SubnetMeasure",
    "calibrated_subnet",
    "get",
    "register",
    "registered",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowland.measures' has no attribute {name!r}")
    return getattr(import_module(f"lowland.{_HOMES[name]}"), name)
